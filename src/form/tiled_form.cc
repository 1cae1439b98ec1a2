#include "tiled_form.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tile_kernel.h"

namespace pith::form {
namespace {

// Floats of a row in a tile: eight rows of them and four inputs beside them stay in 32 KiB.
constexpr uint64_t kTileColumns = 512;
// Groups of fewer elements would make tiles too short.
constexpr uint64_t kLeastScaled = 128;

}  // namespace

void TiledForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  if (cols == 0) return;
  for (uint64_t r = first; r < last; ++r, out += cols) {
    decode_tile(r, 0, cols, out);
    scales().apply(r, 0, cols, out);
  }
}

void TiledForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                         uint64_t stride) const {
  const uint64_t cols = shape().cols, batch = x.batch(), unit = tile_unit();
  const uint64_t width = std::max(unit, kTileColumns / unit * unit);
  const uint64_t group = scales().groups().length;
  // Tiles end with their groups, and sums are scaled; only of short groups the elements are.
  const bool scaled_sums =
      group == ScaleGroups::kRow || (group >= kLeastScaled && (group % unit == 0 || group > cols));
  // One vector does not use decoded weights twice: more rows would only take cache.
  const uint64_t together = batch == 1 ? 1 : kTileRows;
  std::vector<float> tile(together * width), sums(kTileRows * batch);
  std::array<float, kTileRows> tile_scales;
  for (uint64_t r = first; r < last; r += together) {
    const uint64_t rows = std::min(together, last - r);
    std::ranges::fill(sums, 0.0f);
    for (uint64_t at = 0, n = 0; at < cols; at += n) {
      n = std::min(width, cols - at);
      if (scaled_sums) n = std::min(n, scales().groups().left(shape(), at));
      for (uint64_t i = 0; i < rows; ++i) {
        float* to = tile.data() + i * width;
        decode_tile(r + i, at, n, to);
        tile_scales[i] = scaled_sums ? scales().at(r + i, at) : 1;
        if (!scaled_sums) scales().apply(r + i, at, n, to);
      }
      multiply_tile({tile.data(), width, rows, n, tile_scales.data()},
                    {x.vectors().data + at, cols, batch}, sums.data());
    }
    for (uint64_t b = 0; b < batch; ++b) {
      for (uint64_t i = 0; i < rows; ++i) out[b * stride + r + i - first] = sums[b * kTileRows + i];
    }
  }
}

}  // namespace pith::form
