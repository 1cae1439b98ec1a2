#include "outliers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "pith/base/parallel.h"

namespace pith::fit {
namespace {

// Of a group so many are looked for with the scale that is best without them; the others are as
// bad as their own error.
constexpr int kMostOfGroup = 4;

struct Searched {
  form::UniformScale scale;
  double error = 0;  // of elements that are not left out
};

// The elements of one group, by what each saves.
class Group {
 public:
  Group(const form::UniformFit& fit, std::span<const float> w, std::span<const double> importance)
      : fit_(fit), w_(w), importance_(w.size()) {
    most_ = std::ranges::max(importance);
    for (size_t i = 0; i < w.size(); ++i) {
      importance_[i] = most_ > 0 ? static_cast<float>(importance[i] / most_) : 0;
    }
  }

  void gains(float* to) {
    Searched now = searched();
    double last = INFINITY;
    std::vector<float> own(importance_);
    for (int picks = 0; picks < kMostOfGroup && now.error > 0; ++picks) {
      size_t best = w_.size();
      Searched without{{}, now.error};
      for (const size_t i : candidates(now.scale)) {
        if (!(importance_[i] > 0)) continue;
        const float kept = std::exchange(importance_[i], 0.0f);
        const Searched s = searched();
        importance_[i] = kept;
        if (s.error >= without.error) continue;
        without = s;
        best = i;
      }
      if (best == w_.size()) break;
      // One that only helps after another is not taken before it.
      last = std::min(last, now.error - without.error);
      to[best] = static_cast<float>(most_ * last);
      importance_[best] = 0;
      now = without;
    }
    for (size_t i = 0; i < w_.size(); ++i) {
      if (importance_[i] > 0) {
        to[i] = static_cast<float>(most_ * std::min(last, own[i] * error(i, now.scale)));
      }
    }
  }

 private:
  double error(size_t i, form::UniformScale s) const {
    const double e = double{w_[i]} - fit_.value(fit_.code(w_[i], s), s);
    return e * e;
  }

  Searched searched() const {
    Searched s{fit_.fit(w_, importance_), 0};
    for (size_t i = 0; i < w_.size(); ++i) {
      if (importance_[i] > 0) s.error += importance_[i] * error(i, s.scale);
    }
    return s;
  }

  // The least, the largest and the worst.
  std::array<size_t, 3> candidates(form::UniformScale s) const {
    std::array<size_t, 3> at{};
    float low = INFINITY, high = -INFINITY;
    double worst = -1;
    for (size_t i = 0; i < w_.size(); ++i) {
      if (!(importance_[i] > 0)) continue;
      if (w_[i] < low) low = w_[at[0] = i];
      if (w_[i] > high) high = w_[at[1] = i];
      const double e = importance_[i] * error(i, s);
      if (e > worst) {
        worst = e;
        at[2] = i;
      }
    }
    return at;
  }

  const form::UniformFit& fit_;
  std::span<const float> w_;
  std::vector<float> importance_;  // 0: left out
  double most_ = 0;
};

}  // namespace

std::vector<uint8_t> outliers(const form::UniformFit& fit, form::MatrixView weights,
                              std::span<const double> importance, uint64_t count, int threads) {
  const uint64_t rows = weights.shape.rows, cols = weights.shape.cols;
  const uint64_t length = std::min(fit.group_length(), std::max<uint64_t>(cols, 1));
  std::vector<float> gains(rows * cols);
  parallel_for(threads, rows, [&](size_t r) {
    for (uint64_t first = 0; first < cols; first += length) {
      const uint64_t n = std::min(length, cols - first);
      Group(fit, weights.row(r).subspan(first, n), importance.subspan(first, n))
          .gains(gains.data() + r * cols + first);
    }
  });
  std::vector<uint64_t> order(gains.size());
  std::iota(order.begin(), order.end(), uint64_t{0});
  count = std::min<uint64_t>(count, order.size());
  std::ranges::nth_element(
      order, order.begin() + static_cast<ptrdiff_t>(count),
      [&](uint64_t a, uint64_t b) { return gains[a] != gains[b] ? gains[a] > gains[b] : a < b; });
  std::vector<uint8_t> kept(gains.size());
  for (uint64_t i = 0; i < count; ++i) kept[order[i]] = 1;
  return kept;
}

}  // namespace pith::fit
