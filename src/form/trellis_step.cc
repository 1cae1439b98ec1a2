#include "trellis_step.h"

#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/trellis_step.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D8 = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;

using Indices = decltype(hn::SetTableIndices(DF(), static_cast<const int32_t*>(nullptr)));

// Neighbouring windows share a prefix: 2^kBits of them.
template <int kBits>
HWY_INLINE VF spread(const float* from, Indices indices) {
  const DF df;
  if constexpr ((size_t{1} << kBits) >= hn::MaxLanes(df)) return hn::Set(df, *from);
  return hn::TableLookupLanes(hn::LoadU(df, from), indices);
}

// Of windows from `w` on. No fused multiply-add (the build sees to it).
template <int kBits>
HWY_INLINE VF cost_of(const TrellisStep& s, uint64_t w, VF weight, Indices indices) {
  const uint64_t before = w >> kBits;
  const VF wanted = spread<kBits>(s.wanted + before, indices);
  const VF off = hn::Sub(wanted, hn::LoadU(DF(), s.values + w));
  return hn::Add(spread<kBits>(s.costs + before, indices), hn::Mul(weight, hn::Mul(off, off)));
}

template <int kBits>
void step_of(const TrellisStep& step) {
  const TrellisStep s = step;  // which no store can change
  const DF df;
  const DI di;
  const D8 d8;
  const size_t lanes = hn::Lanes(df);
  std::array<int32_t, 16> prefix;
  for (int i = 0; i < 16; ++i) prefix[static_cast<size_t>(i)] = i >> kBits;
  const auto indices = hn::SetTableIndices(df, prefix.data());
  const VF weight = hn::Set(df, s.weight);
  for (uint64_t p = 0; p < s.prefixes; p += lanes) {
    VF best = cost_of<kBits>(s, p, weight, indices);
    auto top = hn::Zero(di);
    for (uint32_t t = 1; t < 1u << kBits; ++t) {
      const VF cost = cost_of<kBits>(s, t * s.prefixes + p, weight, indices);
      const auto less = hn::Lt(cost, best);
      best = hn::IfThenElse(less, cost, best);
      top = hn::IfThenElse(hn::RebindMask(di, less), hn::Set(di, static_cast<int32_t>(t)), top);
    }
    hn::StoreU(best, df, s.next + p);
    hn::StoreU(hn::DemoteTo(d8, top), d8, s.tops + p);
  }
}

void dispatch(const TrellisStep& s) {
  switch (s.bits) {
    case 1:
      return step_of<1>(s);
    case 2:
      return step_of<2>(s);
    case 3:
      return step_of<3>(s);
    case 4:
      return step_of<4>(s);
    case 5:
      return step_of<5>(s);
    default:
      return step_of<6>(s);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(dispatch);

void trellis_step(const TrellisStep& s) { HWY_DYNAMIC_DISPATCH(dispatch)(s); }

}  // namespace pith::form
#endif
