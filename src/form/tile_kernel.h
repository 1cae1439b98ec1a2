// Products of decoded tiles with a batch of vectors.
#pragma once

#include <cstdint>

namespace pith::form {

inline constexpr uint64_t kTileRows = 4;

struct Tile {
  const float* weights;  // rows, `stride` apart
  uint64_t stride;
  uint64_t rows;  // 1 to kTileRows
  uint64_t cols;
};

struct TileInputs {
  const float* vectors;  // from the tile's first column on, `stride` apart
  uint64_t stride;
  uint64_t batch;
};

// sums[b * kTileRows + r] += dot(row r, vector b). For one vector and one row sums is one float.
void multiply_tile(const Tile& tile, const TileInputs& x, float* sums);

}  // namespace pith::form
