#include "trellis_search.h"

#include <algorithm>
#include <array>

#include "trellis_code.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/trellis_search.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D8 = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;

// least[p] = the least of costs[t * prefixes + p] over all t, choices[p] the first such t.
void least_costs(const float* costs, uint64_t prefixes, int tops, float* least, uint8_t* choices) {
  const DF df;
  const DI di;
  const size_t lanes = hn::Lanes(df);
  for (uint64_t p = 0; p < prefixes; p += lanes) {
    VF best = hn::LoadU(df, costs + p);
    auto where = hn::Zero(di);
    for (int t = 1; t < tops; ++t) {
      const VF cost = hn::LoadU(df, costs + static_cast<uint64_t>(t) * prefixes + p);
      const auto less = hn::Lt(cost, best);
      best = hn::IfThenElse(less, cost, best);
      where = hn::IfThenElse(hn::RebindMask(di, less), hn::Set(di, t), where);
    }
    hn::StoreU(best, df, least + p);
    hn::StoreU(hn::DemoteTo(D8(), where), D8(), choices + p);
  }
}

// costs[w] = least[w >> bits] - base + (x - values[w])^2. No fused multiply-add (the build sees to
// it): paths are the same on every instruction set. `least` has 16 floats more than prefixes.
void next_costs(const float* least, float base, const float* values, uint64_t windows, int bits,
                float x, float* costs) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  std::array<int32_t, 16> prefix;
  for (int i = 0; i < 16; ++i) prefix[static_cast<size_t>(i)] = i >> bits;
  const auto indices = hn::SetTableIndices(df, prefix.data());
  const VF target = hn::Set(df, x), bases = hn::Set(df, base);
  for (uint64_t w = 0; w < windows; w += lanes) {
    const float* before = least + (w >> bits);
    const VF start = (size_t{1} << bits) >= lanes
                         ? hn::Set(df, *before)
                         : hn::TableLookupLanes(hn::LoadU(df, before), indices);
    const VF off = hn::Sub(target, hn::LoadU(df, values + w));
    hn::StoreU(hn::Add(hn::Sub(start, bases), hn::Mul(off, off)), df, costs + w);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {
namespace {

// Elements after which the path is settled.
constexpr uint64_t kSegment = 1024;
// Costs are brought back to zero so often, lest they grow beyond what floats tell apart.
constexpr uint64_t kRebase = 32;

}  // namespace

HWY_EXPORT(least_costs);
HWY_EXPORT(next_costs);

TrellisSearch::TrellisSearch(int bits, int window) : bits_(bits), window_(window) {
  const uint64_t windows = uint64_t{1} << window, prefixes = windows >> bits;
  for (uint32_t w = 0; w < windows; ++w) values_.push_back(trellis_value(w));
  costs_.resize(windows);
  least_.resize(prefixes + 16);
  choices_.resize(kSegment * prefixes);
}

void TrellisSearch::operator()(const float* x, uint64_t n, uint16_t* windows) {
  const uint64_t count = costs_.size(), prefixes = count >> bits_;
  for (uint64_t begin = 0; begin < n; begin += kSegment) {
    const uint64_t end = std::min(n, begin + kSegment);
    for (uint64_t i = begin; i < end; ++i) {
      if (i > begin) {
        HWY_DYNAMIC_DISPATCH(least_costs)
        (costs_.data(), prefixes, 1 << bits_, least_.data(),
         choices_.data() + (i - begin) * prefixes);
      } else if (i == 0) {
        std::ranges::fill(least_, 0.0f);  // any window may come first
      } else {
        std::ranges::fill(least_, 1e30f);
        least_[windows[i - 1] & (prefixes - 1)] = 0;
      }
      const float base =
          i % kRebase == 0 ? *std::min_element(least_.begin(), least_.end() - 16) : 0;
      HWY_DYNAMIC_DISPATCH(next_costs)
      (least_.data(), base, values_.data(), count, bits_, x[i], costs_.data());
    }
    settle(begin, end, windows);
  }
}

// Back from the window of least cost.
void TrellisSearch::settle(uint64_t begin, uint64_t end, uint16_t* windows) const {
  const uint64_t prefixes = costs_.size() >> bits_;
  auto at = static_cast<uint64_t>(std::min_element(costs_.begin(), costs_.end()) - costs_.begin());
  for (uint64_t i = end; i-- > begin;) {
    windows[i] = static_cast<uint16_t>(at);
    if (i == begin) break;
    const uint64_t prefix = at >> bits_;
    at = choices_[(i - begin) * prefixes + prefix] * prefixes + prefix;
  }
}

}  // namespace pith::form
#endif
