// Products of decoded tiles with a batch of vectors.
#pragma once

#include <cstdint>

namespace pith::form {

// Rows that use inputs while these are in the first-level cache.
inline constexpr uint64_t kTileRows = 8;

struct Tile {
  const float* weights;  // rows, `stride` apart
  uint64_t stride;
  uint64_t rows;  // 1 to kTileRows
  uint64_t cols;
  const float* scales;  // of each row's sum
};

struct TileInputs {
  const float* vectors;  // from the tile's first column on, `stride` apart
  uint64_t stride;
  uint64_t batch;
};

// sums[b * kTileRows + r] += scale r * dot(row r, vector b).
void multiply_tile(const Tile& tile, const TileInputs& x, float* sums);

}  // namespace pith::form
