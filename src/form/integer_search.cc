#include "integer_search.h"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/integer_search.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;

// Some rows' values and where their costs are.
class Rows {
 public:
  Rows(const IntegerTargets& targets, const IntegerCosts& costs, float lambda, uint64_t first)
      : costs_(costs.data()), lambda_(hn::Set(df_, lambda)) {
    constexpr float kMost = kMostInteger - 2;
    VF w = hn::Load(df_, targets.wanted.data() + first);
    w = hn::IfThenElseZero(hn::Eq(w, w), w);
    size_ = hn::Min(hn::Abs(w), hn::Set(df_, kMost));
    negative_ = hn::RebindMask(di_, hn::Lt(w, hn::Zero(df_)));
    const VI k = hn::Load(di_, targets.classes.data() + first);
    place_ = hn::Add(hn::ShiftLeft<8>(k), hn::Set(di_, 128));
    // As low_bits_of() has it.
    const VI above = hn::Max(hn::Sub(k, hn::Set(di_, kWideClass - 4)), hn::Zero(di_));
    low_bits_ = hn::Min(hn::ShiftRight<2>(above), hn::Set(di_, kMostLowBits));
  }

  VF size() const { return size_; }
  VI signed_code(VI magnitude) const {
    return hn::IfThenElse(negative_, hn::Neg(magnitude), magnitude);
  }

  // Of the code of this magnitude in states of this parity.
  template <int kOdd>
  HWY_INLINE VF cost(VI magnitude) const {
    VF level = hn::ConvertTo(df_, magnitude);
    if (kOdd != 0) {
      const auto zero = hn::RebindMask(df_, hn::Eq(magnitude, hn::Zero(di_)));
      level = hn::Sub(level, hn::IfThenZeroElse(zero, hn::Set(df_, 0.5f)));
    }
    const VF off = hn::Sub(size_, level);
    return hn::Add(hn::Mul(off, off), hn::Mul(lambda_, bits<kOdd>(magnitude)));
  }

 private:
  template <int kOdd>
  HWY_INLINE VF bits(VI magnitude) const {
    const VI symbol = hn::Shr(signed_code(magnitude), low_bits_);
    const auto escaped = hn::Gt(hn::Abs(symbol), hn::Set(di_, kMostSymbol));
    const VI coded = hn::IfThenElse(escaped, hn::Set(di_, kIntegerEscape), symbol);
    const VI at = hn::Add(hn::Add(place_, coded), hn::Set(di_, kOdd * 256 * kIntegerClasses));
    return hn::Add(hn::GatherIndex(df_, costs_, at), hn::ConvertTo(df_, low_bits_));
  }

  DF df_;
  DI di_;
  const float* costs_;
  VF lambda_, size_;
  hn::Mask<DI> negative_;
  VI place_, low_bits_;
};

// For each row the best code of each parity in even states, then in odd ones.
struct Branches {
  alignas(64) std::array<float, 4 * kIntegerRows> costs;
  alignas(64) std::array<int32_t, 4 * kIntegerRows> codes;
};

// Codes around the value, and those up to two nearer to zero.
template <int kOdd>
HWY_INLINE void best_of_parities(const Rows& rows, VF& even_cost, VF& odd_cost, VI& even, VI& odd) {
  const DF df;
  const DI di;
  const VI one = hn::Set(di, 1), two = hn::Set(di, 2);
  // Magnitudes are not negative: to cut off is to round down.
  const VI below =
      hn::ConvertTo(di, kOdd != 0 ? hn::Add(rows.size(), hn::Set(df, 0.5f)) : rows.size());
  const auto better = [&](VI a, VI b, VF& cost, VI& code) {
    const VF of_a = rows.cost<kOdd>(a), of_b = rows.cost<kOdd>(b);
    const auto less = hn::Lt(of_b, of_a);
    cost = hn::IfThenElse(less, of_b, of_a);
    code = rows.signed_code(hn::IfThenElse(hn::RebindMask(di, less), b, a));
  };
  VF same_cost, other_cost;
  VI same, other;
  better(below, hn::IfThenElse(hn::Gt(below, one), hn::Sub(below, two), below), same_cost, same);
  const VI above = hn::Add(below, one);
  better(above, hn::IfThenElse(hn::Gt(below, hn::Zero(di)), hn::Sub(below, one), above), other_cost,
         other);
  const auto is_odd = hn::Eq(hn::And(below, one), one);
  const auto is_odd_f = hn::RebindMask(df, is_odd);
  even_cost = hn::IfThenElse(is_odd_f, other_cost, same_cost);
  odd_cost = hn::IfThenElse(is_odd_f, same_cost, other_cost);
  even = hn::IfThenElse(is_odd, other, same);
  odd = hn::IfThenElse(is_odd, same, other);
}

void branches_of(const IntegerTargets& targets, const IntegerCosts& costs, float lambda,
                 Branches& out) {
  const DF df;
  const DI di;
  for (uint64_t r = 0; r < targets.rows; r += hn::Lanes(df)) {
    const Rows rows(targets, costs, lambda, r);
    VF cost[4];
    VI code[4];
    best_of_parities<0>(rows, cost[0], cost[1], code[0], code[1]);
    best_of_parities<1>(rows, cost[2], cost[3], code[2], code[3]);
    hn::StoreInterleaved4(cost[0], cost[1], cost[2], cost[3], df, out.costs.data() + 4 * r);
    hn::StoreInterleaved4(code[0], code[1], code[2], code[3], di, out.codes.data() + 4 * r);
  }
}

// One by one: the nearest, or one of the next two towards zero.
void search_plain(const IntegerTargets& targets, const IntegerCosts& costs, float lambda,
                  int32_t* codes) {
  const DF df;
  const DI di;
  for (uint64_t r = 0; r < targets.rows; r += hn::Lanes(df)) {
    const Rows rows(targets, costs, lambda, r);
    VI best = hn::ConvertTo(di, hn::Add(rows.size(), hn::Set(df, 0.5f)));
    VF least = rows.cost<0>(best);
    const VI nearest = best;
    for (int less = 1; less <= 2; ++less) {
      const VI code = hn::Max(hn::Sub(nearest, hn::Set(di, less)), hn::Zero(di));
      const VF cost = rows.cost<0>(code);
      const auto better = hn::Lt(cost, least);
      least = hn::IfThenElse(better, cost, least);
      best = hn::IfThenElse(hn::RebindMask(di, better), code, best);
    }
    hn::Store(rows.signed_code(best), di, codes + r);
  }
}

// The parity of the code that leads to each state on its best path: a bit a state, for each row.
struct Paths {
  static constexpr size_t kWords = kMostIntegerStates / 64;
  std::array<std::array<uint64_t, kWords>, kIntegerRows> parity;
  alignas(64) std::array<float, kMostIntegerStates> costs;  // of the paths to all rows
};

void find_paths(const IntegerTrellis& trellis, const Branches& branches, uint64_t rows,
                Paths& paths) {
  const auto states = static_cast<size_t>(trellis.states());
  auto& costs = paths.costs;
  for (uint64_t r = 0; r < rows; ++r) {
    const float* branch = branches.costs.data() + 4 * r;
    std::array<float, kMostIntegerStates> next;
    const auto through = [&](size_t s, size_t parity) {
      const size_t from = trellis.before(s, parity);
      return costs[from] + branch[2 * (from & 1) + parity];
    };
    paths.parity[r] = {};
    for (size_t s = 0; s < states; ++s) {
      const float even = through(s, 0), odd = through(s, 1);
      paths.parity[r][s / 64] |= static_cast<uint64_t>(odd < even) << s % 64;
      next[s] = odd < even ? odd : even;
    }
    std::copy_n(next.begin(), states, costs.begin());
  }
}

// The same for up to eight states, in a register.
void find_few_paths(const IntegerTrellis& trellis, const Branches& branches, uint64_t rows,
                    Paths& paths) {
  const hn::CappedTag<float, 8> d;
  if (hn::Lanes(d) < 8) return find_paths(trellis, branches, rows, paths);
  alignas(32) std::array<std::array<int32_t, 8>, 2> from, branch;
  for (size_t s = 0; s < 8; ++s) {
    for (size_t parity = 0; parity < 2; ++parity) {
      const bool exists = s < static_cast<size_t>(trellis.states());
      const size_t before = exists ? trellis.before(s, parity) : s;  // to which there is no path
      from[parity][s] = static_cast<int32_t>(before);
      branch[parity][s] = static_cast<int32_t>(2 * (before & 1) + parity);
    }
  }
  const auto from0 = hn::SetTableIndices(d, from[0].data());
  const auto from1 = hn::SetTableIndices(d, from[1].data());
  const auto branch0 = hn::SetTableIndices(d, branch[0].data());
  const auto branch1 = hn::SetTableIndices(d, branch[1].data());
  auto costs = hn::Load(d, paths.costs.data());
  for (uint64_t r = 0; r < rows; ++r) {
    const auto of_row = hn::LoadDup128(d, branches.costs.data() + 4 * r);
    const auto even =
        hn::Add(hn::TableLookupLanes(costs, from0), hn::TableLookupLanes(of_row, branch0));
    const auto odd =
        hn::Add(hn::TableLookupLanes(costs, from1), hn::TableLookupLanes(of_row, branch1));
    const auto better = hn::Lt(odd, even);
    costs = hn::IfThenElse(better, odd, even);
    std::array<uint8_t, 8> bits{};
    hn::StoreMaskBits(d, better, bits.data());
    paths.parity[r][0] = bits[0];
  }
  hn::Store(costs, d, paths.costs.data());
}

#if HWY_TARGET != HWY_SCALAR

// The same for 16 states or more. The lower half of the states is reached from even ones, the upper
// from odd ones, and with a code of one parity or the other a whole half from numbers that differ
// in the same bits: state s < half from 2 s or 2 (s ^ input), state s + half from
// 2 (s ^ feedback) + 1 or 2 (s ^ feedback ^ input) + 1.
class ManyPaths {
 public:
  explicit ManyPaths(const IntegerTrellis& trellis)
      : half_(static_cast<size_t>(trellis.states()) / 2) {
    const size_t feedback = trellis.feedback() & (half_ - 1), input = trellis.input();
    differences_ = {0, input, feedback, feedback ^ input};
  }

  void find(const Branches& branches, uint64_t rows, Paths& paths) {
    even_.fill(INFINITY);
    odd_.fill(INFINITY);
    even_[0] = 0;
    std::array<Indices, 4> lanes;
    for (size_t i = 0; i < 4; ++i) lanes[i] = indices(differences_[i] % kLanes);
    for (uint64_t r = 0; r < rows; ++r) {
      const float* branch = branches.costs.data() + 4 * r;
      paths.parity[r] = {};
      for (size_t s = 0; s < half_; s += kLanes) {
        step(even_.data(), s, 0, lanes.data(), branch, s, paths.parity[r].data());
        step(odd_.data(), s, 2, lanes.data() + 2, branch + 2, half_ + s, paths.parity[r].data());
      }
      for (size_t s = 0; s < half_; s += kLanes) {
        const auto low = hn::Load(d_, next_.data() + 2 * s);
        const auto high = hn::Load(d_, next_.data() + 2 * s + kLanes);
        hn::Store(hn::ConcatEven(d_, high, low), d_, even_.data() + s);
        hn::Store(hn::ConcatOdd(d_, high, low), d_, odd_.data() + s);
      }
    }
    paths.costs = next_;
  }

 private:
  using D = hn::CappedTag<float, 8>;
  using Indices = decltype(hn::SetTableIndices(D(), static_cast<const int32_t*>(nullptr)));
  static constexpr size_t kLanes = hn::MaxLanes(D());
  static_assert(kLanes <= 8 && kMostIntegerStates % 64 == 0);

  static Indices indices(size_t difference) {
    alignas(32) std::array<int32_t, kLanes> at;
    for (size_t i = 0; i < kLanes; ++i) at[i] = static_cast<int32_t>(i ^ difference);
    return hn::SetTableIndices(D(), at.data());
  }

  // States from `to` on, from those of one parity.
  HWY_INLINE void step(const float* from, size_t s, size_t way, const Indices* lanes,
                       const float* branch, size_t to, uint64_t* parity) {
    const auto through = [&](size_t p) {
      const auto block = hn::Load(d_, from + (s ^ (differences_[way + p] / kLanes * kLanes)));
      return hn::Add(hn::TableLookupLanes(block, lanes[p]), hn::Set(d_, branch[p]));
    };
    const auto even = through(0), odd = through(1);
    const auto better = hn::Lt(odd, even);
    hn::Store(hn::IfThenElse(better, odd, even), d_, next_.data() + to);
    std::array<uint8_t, 8> bits{};
    hn::StoreMaskBits(d_, better, bits.data());
    parity[to / 64] |= uint64_t{bits[0]} << to % 64;
  }

  D d_;
  size_t half_;
  std::array<size_t, 4> differences_;
  alignas(64) std::array<float, kMostIntegerStates / 2> even_, odd_;
  alignas(64) std::array<float, kMostIntegerStates> next_;
};

void find_many_paths(const IntegerTrellis& trellis, const Branches& branches, uint64_t rows,
                     Paths& paths) {
  ManyPaths(trellis).find(branches, rows, paths);
}

#else

constexpr auto find_many_paths = find_paths;

#endif

void search(const IntegerTrellis& trellis, const IntegerCosts& costs, const IntegerTargets& targets,
            float lambda, int16_t* codes) {
  const auto states = static_cast<size_t>(trellis.states());
  if (states == 1) {
    alignas(64) std::array<int32_t, kIntegerRows> wide;
    search_plain(targets, costs, lambda, wide.data());
    for (uint64_t r = 0; r < targets.rows; ++r) codes[r] = static_cast<int16_t>(wide[r]);
    return;
  }
  Branches branches;
  branches_of(targets, costs, lambda, branches);
  Paths paths;
  paths.costs.fill(INFINITY);
  paths.costs[0] = 0;
  if (states > 8) {
    find_many_paths(trellis, branches, targets.rows, paths);
  } else {
    find_few_paths(trellis, branches, targets.rows, paths);
  }
  const auto end = paths.costs.begin() + static_cast<ptrdiff_t>(states);
  auto state =
      static_cast<size_t>(std::min_element(paths.costs.begin(), end) - paths.costs.begin());
  for (uint64_t r = targets.rows; r-- > 0;) {
    const size_t parity = paths.parity[r][state / 64] >> state % 64 & 1;
    state = trellis.before(state, parity);
    codes[r] = static_cast<int16_t>(branches.codes[4 * r + 2 * (state & 1) + parity]);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(search);

double integer_distortion(int states) {
  // Granular gains of Ungerboeck's trellises, 0.99 to 1.33 dB: Marcellin & Fischer 1990.
  constexpr std::array kOfTrellis = {0.0663, 0.0648, 0.0638, 0.0629, 0.0622, 0.0616, 0.0613};
  if (states == 1) return 1.0 / 12;
  return kOfTrellis[static_cast<size_t>(std::countr_zero(static_cast<unsigned>(states)) - 2)];
}

void search_integers(const IntegerTrellis& trellis, const IntegerCosts& costs,
                     const IntegerTargets& targets, float lambda, int16_t* codes) {
  HWY_DYNAMIC_DISPATCH(search)(trellis, costs, targets, lambda, codes);
}

}  // namespace pith::form
#endif
