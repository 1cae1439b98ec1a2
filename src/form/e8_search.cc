#include "e8_search.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/e8_search.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::Vec<DF>;
using VU = hn::Vec<DU>;

// The least of all lanes, of equals the one with the smallest number.
E8Pattern least_of(VF costs, VU numbers) {
  alignas(64) std::array<float, 16> c{};
  alignas(64) std::array<uint32_t, 16> n{};
  hn::Store(costs, DF(), c.data());
  hn::Store(numbers, DU(), n.data());
  E8Pattern best{c[0], n[0]};
  for (size_t i = 1; i < hn::Lanes(DF()); ++i) {
    if (c[i] < best.cost || (c[i] == best.cost && n[i] < best.number)) best = {c[i], n[i]};
  }
  return best;
}

E8Pattern nearest_pattern(const E8PatternColumns& patterns, const float* sizes, float half_length,
                          bool odd) {
  const DF df;
  const DU du;
  const size_t lanes = hn::Lanes(df);
  const VF half = hn::Set(df, half_length);
  const VU same = hn::Set(du, odd ? ~uint32_t{0} : 0);
  VF least = hn::Set(df, std::numeric_limits<float>::infinity());
  VU found = hn::Zero(du);
  for (size_t i = 0; i < kE8Patterns; i += lanes) {
    VF cost = hn::Load(df, patterns.halves.data() + i);
    VF turn = hn::Set(df, std::numeric_limits<float>::max());
    for (size_t k = 0; k < kE8; ++k) {
      const VF product =
          hn::Mul(hn::Set(df, sizes[k]), hn::Load(df, patterns.columns[k].data() + i));
      cost = hn::Sub(cost, product);
      turn = hn::Min(turn, product);
    }
    const auto right = hn::Eq(hn::Load(du, patterns.odd.data() + i), same);
    const VF turned = hn::IfThenZeroElse(hn::RebindMask(df, right), hn::Add(turn, turn));
    cost = hn::Add(hn::Add(half, cost), turned);
    const auto less = hn::Lt(cost, least);
    least = hn::IfThenElse(less, cost, least);
    found = hn::IfThenElse(hn::RebindMask(du, less), hn::Iota(du, static_cast<uint32_t>(i)), found);
  }
  return least_of(least, found);
}

size_t changes_of(const E8Columns& columns, const E8Changes& lengths, const E8Changes& least,
                  const float* slopes, E8Changes& changes, uint8_t* below) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  size_t count = 0;
  for (size_t i = 0; i < kE8Neighbours; i += lanes) {
    VF change = hn::LoadU(df, lengths.data() + i);
    for (size_t k = 0; k < kE8; ++k) {
      change =
          hn::Sub(change, hn::Mul(hn::Set(df, slopes[k]), hn::LoadU(df, columns[k].data() + i)));
    }
    hn::StoreU(change, df, changes.data() + i);
    const VF limit = hn::Sub(hn::Zero(df), hn::LoadU(df, least.data() + i));
    if (hn::AllFalse(df, hn::Lt(change, limit))) continue;
    for (size_t n = i; n < i + lanes; ++n) {
      if (changes[n] < -least[n]) below[count++] = static_cast<uint8_t>(n);
    }
  }
  return count;
}

size_t least_change(const E8Changes& changes) {
  const DF df;
  const DU du;
  const size_t lanes = hn::Lanes(df);
  VF least = hn::LoadU(df, changes.data());
  VU found = hn::Iota(du, 0u);
  for (size_t i = lanes; i < kE8Neighbours; i += lanes) {
    const VF change = hn::LoadU(df, changes.data() + i);
    const auto less = hn::Lt(change, least);
    least = hn::IfThenElse(less, change, least);
    found = hn::IfThenElse(hn::RebindMask(du, less), hn::Iota(du, static_cast<uint32_t>(i)), found);
  }
  return least_of(least, found).number;
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(nearest_pattern);
HWY_EXPORT(changes_of);
HWY_EXPORT(least_change);

E8Pattern nearest_e8_pattern(const E8PatternColumns& patterns, const float* sizes,
                             float half_length, bool odd) {
  return HWY_DYNAMIC_DISPATCH(nearest_pattern)(patterns, sizes, half_length, odd);
}

size_t e8_changes(const E8Columns& columns, const E8Changes& lengths, const E8Changes& least,
                  const float* slopes, E8Changes& changes, uint8_t* below) {
  return HWY_DYNAMIC_DISPATCH(changes_of)(columns, lengths, least, slopes, changes, below);
}

size_t least_e8_change(const E8Changes& changes) {
  return HWY_DYNAMIC_DISPATCH(least_change)(changes);
}

}  // namespace pith::form
#endif
