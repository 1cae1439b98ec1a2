#include "pith/form/path_search.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "trellis_code.h"
#include "trellis_step.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/path_search.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef PITH_FORM_PATH_STEP
#define PITH_FORM_PATH_STEP
namespace pith::form {

// Of the paths that are best for each prefix, what errors mean to the elements that come after.
struct PathErrors {
  uint64_t prefixes;
  int bits;
  const uint8_t* tops;  // the upper bits of the element's windows
  uint16_t* windows;    // gets these
  const float* values;  // of windows
  float weight;         // of the element
  const float* ring;    // of each path, reach floats
  float* next_ring;
  const float *factor, *kept;  // by place in the ring; kept: all bits of what stays, else none
  uint64_t next_place;         // of the element that comes next
  float* owed;                 // to it
  const uint64_t* paths;
  uint64_t* next_paths;
  uint64_t marked;  // bits of the window that go into the path's word, below those that are there
};

}  // namespace pith::form
#endif

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;

// No fused multiply-add: paths are the same on every instruction set.
//
// The vectors of a ring are as many as the list has numbers: constants, so that they are registers.
template <size_t... kVector>
HWY_INLINE void pass_all(const PathErrors& p, std::index_sequence<kVector...>) {
  const DF df;
  constexpr size_t kLanes = hn::MaxLanes(DF()), kReach = sizeof...(kVector) * kLanes;
  const VF factor[] = {hn::LoadU(df, p.factor + kVector * kLanes)...};
  const VF kept[] = {hn::LoadU(df, p.kept + kVector * kLanes)...};
  const int shift = std::popcount(p.marked);
  const float next_factor = p.factor[p.next_place];
  for (uint64_t i = 0; i < p.prefixes; ++i) {
    const uint64_t window = p.tops[i] * p.prefixes + i;
    const uint64_t from = window >> p.bits;
    const float error = p.weight - p.values[window];
    const float* HWY_RESTRICT ring = p.ring + from * kReach;
    float* HWY_RESTRICT next = p.next_ring + i * kReach;
    const VF e = hn::Set(df, error);
    (hn::StoreU(hn::Add(hn::And(hn::LoadU(df, ring + kVector * kLanes), kept[kVector]),
                        hn::Mul(e, factor[kVector])),
                df, next + kVector * kLanes),
     ...);
    p.owed[i] = ring[p.next_place] + error * next_factor;
    p.next_paths[i] = p.paths[from] << shift | (window & p.marked);
    p.windows[i] = static_cast<uint16_t>(window);
  }
}

template <size_t kReach>
void pass_on(const PathErrors& p) {
  pass_all(p, std::make_index_sequence<kReach / hn::MaxLanes(DF())>());
}
void pass_on_48(const PathErrors& p) { pass_on<48>(p); }
void pass_on_64(const PathErrors& p) { pass_on<64>(p); }

// Costs less the least of all; those of paths with other bits than the best in what `shift` leaves
// are given up.
void give_up(const uint64_t* HWY_RESTRICT paths, uint64_t best, int shift, float least, float dead,
             uint64_t prefixes, float* HWY_RESTRICT costs) {
  for (uint64_t p = 0; p < prefixes; ++p) {
    costs[p] = (paths[p] ^ best) >> shift == 0 ? costs[p] - least : dead;
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(pass_on_48);
HWY_EXPORT(pass_on_64);
HWY_EXPORT(give_up);

namespace {

// The cost of paths that are not in the running.
constexpr float kDead = 1e30f;
// Weights beside their scale: squares of more would come near to that.
constexpr float kMost = 1e8f;
// Elements that are settled together. A path's word has the windows of its last four such groups,
// so that reach is at most four times as many.
constexpr uint64_t kGroup = 16;

// Where settled after a look at 20 more, the squared error is 1.1 times that of whole paths, after
// 44 it is 1.02. More takes more of the cache.
uint64_t reach_of(uint64_t prefixes) { return prefixes <= 512 ? 64 : 48; }

}  // namespace

PathSearch::PathSearch(int bits, int window)
    : bits_(bits),
      window_(window),
      prefixes_(uint64_t{1} << (window - bits)),
      reach_(reach_of(prefixes_)) {
  const uint64_t windows = uint64_t{1} << window;
  for (uint32_t w = 0; w < windows; ++w) table_.push_back(trellis_value(w));
  scaled_.resize(windows);
  for (auto* v : {&costs_, &next_costs_, &owed_}) v->resize(prefixes_ + kBeyondPrefixes);

  tops_.resize(prefixes_);
  ring_.resize(prefixes_ * reach_);
  next_ring_.resize(ring_.size());
  paths_.resize(prefixes_);
  next_paths_.resize(prefixes_);

  windows_.resize(prefixes_ * reach_);
}

void PathSearch::begin(const Run& run) {
  float unit = 0;
  double most = 0;
  for (uint64_t j = 0; j < run.n; ++j) {
    unit = std::max(unit, std::fabs(run.scales[j]));
    most = std::max(most, run.pivots[j]);
  }
  if (unit == 0) unit = 1;
  if (!(most > 0)) most = 1;
  for (auto* v : {&weights_, &wanted_, &scales_, &pivots_}) v->resize(run.n);
  for (uint64_t j = 0; j < run.n; ++j) {
    weights_[j] = std::clamp(run.weights[j] / unit, -kMost, kMost);
    wanted_[j] = std::clamp(run.wanted[j] / unit, -kMost, kMost);
    scales_[j] = run.scales[j] / unit;
    pivots_[j] = static_cast<float>(run.pivots[j] / most);
  }
  scale_ = 0;
  std::ranges::fill(scaled_, 0.0f);
  done_ = 0;
  std::ranges::fill(ring_, 0.0f);
  std::ranges::fill(owed_, 0.0f);
  std::ranges::fill(paths_, uint64_t{0});
  std::ranges::fill(costs_, run.before < 0 ? 0 : kDead);
  if (run.before >= 0) costs_[static_cast<uint64_t>(run.before) & (prefixes_ - 1)] = 0;
}

void PathSearch::step(const Run& run, uint64_t j) {
  if (scales_[j] != scale_) {
    scale_ = scales_[j];
    for (uint64_t w = 0; w < table_.size(); ++w) scaled_[w] = scale_ * table_[w];
  }
  for (uint64_t p = 0; p < prefixes_; ++p) owed_[p] += wanted_[j];
  trellis_step({bits_, prefixes_, scaled_.data(), costs_.data(), owed_.data(), pivots_[j],
                next_costs_.data(), tops_.data()});
  // The element's own place is free for the one that now comes within reach.
  alignas(64) std::array<float, 4 * kGroup> factor{}, kept;
  kept.fill(std::bit_cast<float>(~uint32_t{0}));
  kept[j % reach_] = 0;
  if (run.factor != nullptr) {
    for (uint64_t k = j + 1; k <= j + reach_ && k < run.n; ++k) {
      factor[k % reach_] = run.factor[j * run.n + k];
    }
  }
  PathErrors errors = {.prefixes = prefixes_,
                       .bits = bits_,
                       .tops = tops_.data(),
                       .windows = windows_.data() + j % reach_ * prefixes_,
                       .values = scaled_.data(),
                       .weight = weights_[j],
                       .ring = ring_.data(),
                       .next_ring = next_ring_.data(),
                       .factor = factor.data(),
                       .kept = kept.data(),
                       .next_place = (j + 1) % reach_,
                       .owed = owed_.data(),
                       .paths = paths_.data(),
                       .next_paths = next_paths_.data(),
                       .marked = (j + 1) % kGroup == 0 ? uint64_t{0xFFFF} : 0};
  if (reach_ == 48) {
    HWY_DYNAMIC_DISPATCH(pass_on_48)(errors);
  } else {
    HWY_DYNAMIC_DISPATCH(pass_on_64)(errors);
  }
  costs_.swap(next_costs_);
  ring_.swap(next_ring_);
  paths_.swap(next_paths_);
}

// Elements up to `end`, when so many have been looked at.
void PathSearch::settle(const Run& run, uint64_t end, uint64_t seen, uint16_t* windows) {
  const auto last = costs_.begin() + static_cast<ptrdiff_t>(prefixes_);
  const auto least = std::min_element(costs_.begin(), last);
  auto best = static_cast<uint64_t>(least - costs_.begin());
  if (seen == run.n && run.after >= 0) best = static_cast<uint64_t>(run.after) >> bits_;
  std::array<uint16_t, 4 * kGroup> path;
  uint64_t prefix = best;
  for (uint64_t j = seen; j-- > done_;) {
    path[j - done_] = windows_[j % reach_ * prefixes_ + prefix];
    prefix = path[j - done_] >> bits_;
  }
  const uint64_t first = done_;
  for (; done_ < end; ++done_) {
    const uint16_t window = path[done_ - first];
    windows[done_] = window;
    if (run.factor == nullptr) continue;
    const float error = weights_[done_] - scales_[done_] * table_[window];
    for (uint64_t k = done_ + reach_ + 1; k < run.n; ++k) {
      wanted_[k] += error * run.factor[done_ * run.n + k];
    }
  }
  if (seen == run.n) return;
  HWY_DYNAMIC_DISPATCH(give_up)
  (paths_.data(), paths_[best], static_cast<int>(16 * ((seen - end) / kGroup)), *least, kDead,
   prefixes_, costs_.data());
}

void PathSearch::operator()(const Run& run, uint16_t* windows) {
  begin(run);
  for (uint64_t j = 0; j < run.n && done_ < run.settled; ++j) {
    step(run, j);
    const uint64_t seen = j + 1;
    if (seen == run.n) {
      settle(run, run.settled, seen, windows);
    } else if (seen - done_ == reach_) {
      settle(run, std::min(done_ + kGroup, run.settled), seen, windows);
    }
  }
}

uint64_t PathSearch::look_ahead() const { return reach_ - kGroup; }

}  // namespace pith::form
#endif
