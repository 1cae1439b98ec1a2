#include "tiled_form.h"

#include <algorithm>
#include <vector>

#include "tile_kernel.h"

namespace pith::form {
namespace {

// Floats of a row in a tile: four rows of them and the inputs beside them stay in 32 KiB.
constexpr uint64_t kTileColumns = 512;

}  // namespace

void TiledForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  if (cols == 0) return;
  for (uint64_t r = first; r < last; ++r) decode_tile(r, 0, cols, out + (r - first) * cols);
}

void TiledForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                         uint64_t stride) const {
  const uint64_t cols = shape().cols, batch = x.batch(), unit = tile_unit();
  const uint64_t width = std::max(unit, kTileColumns / unit * unit);
  // One vector does not use decoded weights twice: more rows would only take cache.
  const uint64_t together = batch == 1 ? 1 : kTileRows;
  std::vector<float> tile(together * width), sums(together * batch);
  for (uint64_t r = first; r < last; r += together) {
    const uint64_t rows = std::min(together, last - r);
    std::ranges::fill(sums, 0.0f);
    for (uint64_t at = 0; at < cols; at += width) {
      const uint64_t n = std::min(width, cols - at);
      for (uint64_t i = 0; i < rows; ++i) decode_tile(r + i, at, n, tile.data() + i * width);
      multiply_tile({tile.data(), width, rows, n}, {x.vectors().data + at, cols, batch},
                    sums.data());
    }
    for (uint64_t b = 0; b < batch; ++b) {
      for (uint64_t i = 0; i < rows; ++i) out[b * stride + r + i - first] = sums[b * kTileRows + i];
    }
  }
}

}  // namespace pith::form
