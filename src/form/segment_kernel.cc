#include "segment_kernel.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/segment_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// kRows rows of w by kVectors of x: as many sums as stay in registers.
template <int kRows, int kVectors>
HWY_INLINE void add_tile(const float* HWY_RESTRICT w, uint64_t w_stride,
                         const float* HWY_RESTRICT x, uint64_t x_stride, uint64_t length,
                         float* HWY_RESTRICT out, uint64_t stride) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF sums[kRows * kVectors];
  for (int i = 0; i < kRows * kVectors; ++i) sums[i] = hn::Zero(df);
  const auto step = [&](auto&& load, uint64_t at) HWY_ATTR {
    VF rows[kRows];
    for (int r = 0; r < kRows; ++r) rows[r] = load(w + static_cast<uint64_t>(r) * w_stride + at);
    for (int b = 0; b < kVectors; ++b) {
      const VF v = load(x + static_cast<uint64_t>(b) * x_stride + at);
      for (int r = 0; r < kRows; ++r) {
        VF& sum = sums[b * kRows + r];
        sum = hn::MulAdd(rows[r], v, sum);
      }
    }
  };
  uint64_t at = 0;
  for (; at + lanes <= length; at += lanes)
    step([&](const float* p) HWY_ATTR { return hn::LoadU(df, p); }, at);
  if (at < length) {
    // Copied: masked loads of some instruction sets are whole, aligned ones.
    const auto load = [&](const float* p) HWY_ATTR {
      alignas(64) std::array<float, 16> last{};
      std::copy_n(p, length - at, last.begin());
      return hn::Load(df, last.data());
    };
    step(load, at);
  }
  for (int b = 0; b < kVectors; ++b) {
    for (int r = 0; r < kRows; ++r) {
      out[static_cast<uint64_t>(b) * stride + static_cast<uint64_t>(r)] +=
          hn::GetLane(hn::SumOfLanes(df, sums[b * kRows + r]));
    }
  }
}

template <int kVectors>
HWY_INLINE void add_rows(const Segments& w, const float* x, uint64_t x_stride, uint64_t length,
                         float* out, uint64_t stride) {
  uint64_t r = 0;
  for (; r + 4 <= w.rows; r += 4)
    add_tile<4, kVectors>(w.data + r * w.stride, w.stride, x, x_stride, length, out + r, stride);
  for (; r < w.rows; ++r)
    add_tile<1, kVectors>(w.data + r * w.stride, w.stride, x, x_stride, length, out + r, stride);
}

void add_all(const Segments& w, const Segments& x, uint64_t length, float* out, uint64_t stride) {
  uint64_t b = 0;
  for (; b + 4 <= x.rows; b += 4)
    add_rows<4>(w, x.data + b * x.stride, x.stride, length, out + b * stride, stride);
  for (; b < x.rows; ++b)
    add_rows<1>(w, x.data + b * x.stride, x.stride, length, out + b * stride, stride);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(add_all);

void add_products(const Segments& w, const Segments& x, uint64_t length, float* out,
                  uint64_t stride) {
  HWY_DYNAMIC_DISPATCH(add_all)(w, x, length, out, stride);
}

}  // namespace pith::form
#endif
