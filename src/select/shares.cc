#include "pith/select/shares.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "pith/base/error.h"
#include "pith/budget/solve.h"

namespace pith::select {
namespace {

void check(const ShareOptions& o) {
  if (o.step == 0) fail(ErrorKind::kUsage, "shares: a step of no items");
}

uint64_t least_of_all(std::span<const uint64_t> sizes, uint64_t total, const ShareOptions& o) {
  uint64_t sum = 0;
  for (const uint64_t n : sizes) sum += std::min(n, o.least);
  if (sum > total) {
    fail(ErrorKind::kLimit, "{} sequences that keep {} items at least, and a budget of {}",
         sizes.size(), o.least, total);
  }
  return sum;
}

}  // namespace

std::vector<uint64_t> shares_by_score(std::span<const std::vector<float>> scores, uint64_t total,
                                      const ShareOptions& options) {
  check(options);
  std::vector<uint64_t> sizes;
  for (const auto& s : scores) sizes.push_back(s.size());
  least_of_all(sizes, total, options);
  budget::Problem problem{.resources = {"items"}, .parts = {}};
  std::vector<std::vector<uint64_t>> counts;
  for (const std::vector<float>& s : scores) {
    std::vector<float> falling = s;
    std::ranges::sort(falling, std::greater());
    if (!falling.empty() && !(falling.back() >= 0))
      fail(ErrorKind::kUsage, "shares: a score that is negative or NaN");
    double left = std::accumulate(falling.begin(), falling.end(), 0.0);
    budget::Part part{fmt::format("{}", counts.size()), {}};
    std::vector<uint64_t> of;
    const uint64_t first = std::min<uint64_t>(options.least, falling.size());
    uint64_t at = 0;
    for (uint64_t n = first;; n = std::min<uint64_t>(n + options.step, falling.size())) {
      for (; at < n; ++at) left -= falling[at];
      part.candidates.push_back({"", std::max(0.0, left), {static_cast<double>(n)}});
      of.push_back(n);
      if (n == falling.size()) break;
    }
    problem.parts.push_back(std::move(part));
    counts.push_back(std::move(of));
  }
  if (problem.parts.empty()) return {};
  // Losses are convex in the counts, so that a price on items finds the best there is.
  const budget::Solution best =
      budget::solve(problem, {.within = {{"items", static_cast<double>(total)}}},
                    {.solver = budget::Solver::kLagrangian});
  std::vector<uint64_t> out;
  for (size_t i = 0; i < counts.size(); ++i) out.push_back(counts[i][best.chosen[i]]);
  return out;
}

std::vector<uint64_t> shares_by_weight(std::span<const double> weights,
                                       std::span<const uint64_t> sizes, uint64_t total,
                                       const ShareOptions& options) {
  check(options);
  if (weights.size() != sizes.size())
    fail(ErrorKind::kUsage, "shares: {} weights of {} sequences", weights.size(), sizes.size());
  for (const double w : weights) {
    if (!std::isfinite(w) || w < 0)
      fail(ErrorKind::kUsage, "shares: a weight that is negative or not finite");
  }
  uint64_t left = total - least_of_all(sizes, total, options);
  std::vector<uint64_t> out;
  for (const uint64_t n : sizes) out.push_back(std::min(n, options.least));
  // One step at a time to the sequence that is farthest below its share.
  while (left > 0) {
    size_t neediest = sizes.size();
    double most = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (out[i] == sizes[i]) continue;
      const double need = weights[i] / static_cast<double>(out[i] + 1);
      if (neediest == sizes.size() || need > most) {
        neediest = i;
        most = need;
      }
    }
    if (neediest == sizes.size()) break;
    const uint64_t given = std::min({options.step, left, sizes[neediest] - out[neediest]});
    out[neediest] += given;
    left -= given;
  }
  return out;
}

std::vector<bool> largest(std::span<const double> values, double part) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return values[a] > values[b]; });
  const auto count = static_cast<size_t>(std::llround(part * static_cast<double>(values.size())));
  std::vector<bool> out(values.size());
  for (size_t i = 0; i < std::min(count, order.size()); ++i) out[order[i]] = true;
  return out;
}

std::vector<uint64_t> shares_falling(std::span<const uint64_t> sizes, uint64_t total, double ratio,
                                     const ShareOptions& options) {
  if (!(ratio >= 1) || !std::isfinite(ratio))
    fail(ErrorKind::kUsage, "shares: a ratio of {}, not at least 1", ratio);
  std::vector<double> weights;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const double at =
        sizes.size() > 1 ? static_cast<double>(i) / static_cast<double>(sizes.size() - 1) : 0;
    weights.push_back(ratio + (1 - ratio) * at);
  }
  return shares_by_weight(weights, sizes, total, options);
}

}  // namespace pith::select
