#include "tile_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/tile_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// Four sums of one row and one vector, so that none waits for the one before it.
float dot(const float* HWY_RESTRICT w, const float* HWY_RESTRICT x, uint64_t n) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF sum[4] = {hn::Zero(df), hn::Zero(df), hn::Zero(df), hn::Zero(df)};
  uint64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    for (size_t k = 0; k < 4; ++k) {
      const uint64_t at = i + k * lanes;
      sum[k] = hn::MulAdd(hn::LoadU(df, w + at), hn::LoadU(df, x + at), sum[k]);
    }
  }
  for (; i + lanes <= n; i += lanes)
    sum[0] = hn::MulAdd(hn::LoadU(df, w + i), hn::LoadU(df, x + i), sum[0]);
  float rest = 0;
  for (; i < n; ++i) rest += w[i] * x[i];
  const VF sums = hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
  return hn::GetLane(hn::SumOfLanes(df, sums)) + rest;
}

// All rows with kVectors vectors: each weight is loaded once for all vectors, each input once for
// all rows.
template <int kRows, int kVectors>
HWY_INLINE void products(const Tile& tile, const float* x, uint64_t stride, float* sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(df);
  uint64_t i = 0;
  for (; i + lanes <= tile.cols; i += lanes) {
    VF input[kVectors];
    for (int v = 0; v < kVectors; ++v)
      input[v] = hn::LoadU(df, x + static_cast<uint64_t>(v) * stride + i);
    for (int r = 0; r < kRows; ++r) {
      const VF weight = hn::LoadU(df, tile.weights + static_cast<uint64_t>(r) * tile.stride + i);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(weight, input[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const float* w = tile.weights + static_cast<uint64_t>(r) * tile.stride;
      const float* input = x + static_cast<uint64_t>(v) * stride;
      float total = hn::GetLane(hn::SumOfLanes(df, sum[r][v]));
      for (uint64_t k = i; k < tile.cols; ++k) total += w[k] * input[k];
      sums[static_cast<uint64_t>(v) * kTileRows + static_cast<uint64_t>(r)] +=
          tile.scales[r] * total;
    }
  }
}

void multiply(const Tile& tile, const TileInputs& x, float* sums) {
  if (tile.rows == 1 && x.batch == 1) {
    sums[0] += tile.scales[0] * dot(tile.weights, x.vectors, tile.cols);
    return;
  }
  constexpr uint64_t kTogether = 4;
  for (uint64_t b = 0; b < x.batch;) {
    const uint64_t vectors = x.batch - b >= kTogether ? kTogether : 1;
    const float* input = x.vectors + b * x.stride;
    uint64_t r = 0;
    for (; r + kTogether <= tile.rows; r += kTogether) {
      float* to = sums + b * kTileRows + r;
      const Tile some{tile.weights + r * tile.stride, tile.stride, kTogether, tile.cols,
                      tile.scales + r};
      if (vectors == kTogether) {
        products<kTogether, kTogether>(some, input, x.stride, to);
      } else {
        products<kTogether, 1>(some, input, x.stride, to);
      }
    }
    for (; r < tile.rows; ++r) {
      for (uint64_t v = 0; v < vectors; ++v)
        sums[(b + v) * kTileRows + r] +=
            tile.scales[r] * dot(tile.weights + r * tile.stride, input + v * x.stride, tile.cols);
    }
    b += vectors;
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(multiply);

void multiply_tile(const Tile& tile, const TileInputs& x, float* sums) {
  HWY_DYNAMIC_DISPATCH(multiply)(tile, x, sums);
}

}  // namespace pith::form
#endif
