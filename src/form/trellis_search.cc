#include "trellis_search.h"

#include <algorithm>

#include "trellis_code.h"
#include "trellis_step.h"

namespace pith::form {
namespace {

// Elements after which the path is settled.
constexpr uint64_t kSegment = 1024;
// Costs are brought back to zero so often, lest they grow beyond what floats tell apart.
constexpr uint64_t kRebase = 32;

}  // namespace

TrellisSearch::TrellisSearch(int bits, int window) : bits_(bits), window_(window) {
  const uint64_t windows = uint64_t{1} << window, prefixes = windows >> bits;
  for (uint32_t w = 0; w < windows; ++w) values_.push_back(trellis_value(w));
  for (auto* v : {&costs_, &next_, &wanted_}) v->resize(prefixes + kBeyondPrefixes);
  choices_.resize(kSegment * prefixes);
}

void TrellisSearch::operator()(const float* x, uint64_t n, uint16_t* windows) {
  const uint64_t prefixes = uint64_t{1} << (window_ - bits_);
  for (uint64_t begin = 0; begin < n; begin += kSegment) {
    const uint64_t end = std::min(n, begin + kSegment);
    if (begin == 0) {
      std::ranges::fill(costs_, 0.0f);  // any window may come first
    } else {
      std::ranges::fill(costs_, 1e30f);
      costs_[windows[begin - 1] & (prefixes - 1)] = 0;
    }
    for (uint64_t i = begin; i < end; ++i) {
      if (i % kRebase == 0) {
        const float least = *std::min_element(costs_.begin(), costs_.end() - kBeyondPrefixes);
        for (float& cost : costs_) cost -= least;
      }
      std::ranges::fill(wanted_, x[i]);
      trellis_step({bits_, prefixes, values_.data(), costs_.data(), wanted_.data(), 1, next_.data(),
                    choices_.data() + (i - begin) * prefixes});
      costs_.swap(next_);
    }
    settle(begin, end, windows);
  }
}

// Back from the window of least cost; of equals the first.
void TrellisSearch::settle(uint64_t begin, uint64_t end, uint16_t* windows) const {
  const uint64_t prefixes = uint64_t{1} << (window_ - bits_);
  const auto before = [&](uint64_t i, uint64_t prefix) {
    return choices_[(i - begin) * prefixes + prefix] * prefixes + prefix;
  };
  uint64_t at = before(end - 1, 0);
  float least = costs_[0];
  for (uint64_t p = 1; p < prefixes; ++p) {
    const uint64_t window = before(end - 1, p);
    if (costs_[p] > least || (costs_[p] == least && window > at)) continue;
    least = costs_[p];
    at = window;
  }
  for (uint64_t i = end; i-- > begin;) {
    windows[i] = static_cast<uint16_t>(at);
    if (i == begin) break;
    at = before(i - 1, at >> bits_);
  }
}

}  // namespace pith::form
