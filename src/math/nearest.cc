#include "nearest.h"

#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/math/nearest.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::math::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, kCentroidPad>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;

// Of the lanes with the least value, the least index.
HWY_INLINE uint32_t first_least(VF value, VI index) {
  std::array<float, kCentroidPad> values;
  std::array<int32_t, kCentroidPad> indices;
  const size_t lanes = hn::Lanes(DF());
  hn::StoreU(value, DF(), values.data());
  hn::StoreU(index, DI(), indices.data());
  size_t best = 0;
  for (size_t i = 1; i < lanes; ++i) {
    if (values[i] < values[best] || (values[i] == values[best] && indices[i] < indices[best]))
      best = i;
  }
  return static_cast<uint32_t>(indices[best]);
}

// kPoints points at a time, so that each coordinate of the centroids is loaded once for all. No
// fused multiply-add (the build sees to it): codes are the same on every instruction set.
template <int kPoints>
HWY_INLINE void nearest_of(const CentroidColumns& c, const float* points, uint32_t* codes) {
  const DF df;
  const DI di;
  const size_t lanes = hn::Lanes(df);
  VF best[kPoints];
  VI where[kPoints];
  for (int p = 0; p < kPoints; ++p) {
    best[p] = hn::Set(df, hwy::HighestValue<float>());
    where[p] = hn::Zero(di);
  }
  for (uint64_t at = 0; at < c.padded; at += lanes) {
    VF cost[kPoints];
    for (int p = 0; p < kPoints; ++p) cost[p] = hn::LoadU(df, c.halves + at);
    for (uint64_t d = 0; d < c.dim; ++d) {
      const VF column = hn::LoadU(df, c.columns + d * c.padded + at);
      for (int p = 0; p < kPoints; ++p) {
        const VF x = hn::Set(df, points[static_cast<uint64_t>(p) * c.dim + d]);
        cost[p] = hn::Sub(cost[p], hn::Mul(column, x));
      }
    }
    const VI index = hn::Iota(di, static_cast<int32_t>(at));
    for (int p = 0; p < kPoints; ++p) {
      const auto less = hn::Lt(cost[p], best[p]);
      best[p] = hn::IfThenElse(less, cost[p], best[p]);
      where[p] = hn::IfThenElse(hn::RebindMask(di, less), index, where[p]);
    }
  }
  for (int p = 0; p < kPoints; ++p) codes[p] = first_least(best[p], where[p]);
}

void nearest(const CentroidColumns& c, const float* points, uint64_t n, uint32_t* codes) {
  constexpr int kTogether = 4;
  uint64_t i = 0;
  for (; i + kTogether <= n; i += kTogether)
    nearest_of<kTogether>(c, points + i * c.dim, codes + i);
  for (; i < n; ++i) nearest_of<1>(c, points + i * c.dim, codes + i);
}

}  // namespace pith::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::math {

HWY_EXPORT(nearest);

void nearest_centroids(const CentroidColumns& c, const float* points, uint64_t n, uint32_t* codes) {
  HWY_DYNAMIC_DISPATCH(nearest)(c, points, n, codes);
}

}  // namespace pith::math
#endif
