#include "feedback_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/cholesky.h"

namespace pith::fit {
namespace {

// Channels that calibration never saw are as important as this share of the mean.
constexpr double kDead = 1e-6;

std::vector<uint64_t> column_order(const Metric& metric, ColumnOrder order) {
  std::vector<uint64_t> columns(metric.columns());
  std::iota(columns.begin(), columns.end(), uint64_t{0});
  if (order == ColumnOrder::kActivation) {
    std::ranges::stable_sort(columns, [&](uint64_t a, uint64_t b) {
      return metric.importance(a) > metric.importance(b);
    });
  }
  return columns;
}

double mean_importance(const Metric& metric) {
  double sum = 0;
  for (uint64_t c = 0; c < metric.columns(); ++c) sum += metric.importance(c);
  return sum / static_cast<double>(metric.columns());
}

// Rows of a task.
constexpr uint64_t kRows = 64;

// The lower triangle, last column first: Cholesky's factor of this is U, turned round.
void fill(const Metric& metric, const std::vector<uint64_t>& order, double mean, double damping,
          int threads, std::vector<double>& to) {
  const uint64_t n = order.size();
  const double* h = metric.matrix().data();
  parallel_for(threads, (n + kRows - 1) / kRows, [&](size_t task) {
    for (uint64_t r = task * kRows; r < std::min((task + 1) * kRows, n); ++r) {
      const uint64_t column = order[n - 1 - r];
      const double own = metric.importance(column);
      for (uint64_t c = 0; c < r; ++c) {
        const uint64_t other = order[n - 1 - c];
        // Of a channel that was always zero nothing is known.
        const bool known = own > 0 && metric.importance(other) > 0;
        to[r * n + c] = known ? h[column * n + other] / mean : 0;
      }
      to[r * n + r] = (own > 0 ? own / mean : kDead) + damping;
    }
  });
}

// Returns the damping that was needed.
double factorize(const Metric& metric, const std::vector<uint64_t>& order, double mean,
                 double damping, int threads, std::vector<double>& lower) {
  constexpr double kLeast = 1e-9, kRaise = 10;
  for (;;) {
    fill(metric, order, mean, damping, threads, lower);
    if (math::cholesky(lower.data(), order.size(), threads)) return damping;
    damping = std::max(kLeast, damping * kRaise);
  }
}

// Columns first <= c < first + kTile of U, turned round again.
std::vector<float> panel_of(const std::vector<double>& lower, uint64_t n, uint64_t first) {
  const uint64_t last = std::min<uint64_t>(first + kTile, n);
  std::vector<float> panel(last * kTile);
  for (uint64_t c = first; c < last; ++c) {
    const double* column = lower.data() + (n - 1 - c);
    const double own = column[(n - 1 - c) * n];
    for (uint64_t r = 0; r < c; ++r) {
      panel[r * kTile + c - first] = static_cast<float>(column[(n - 1 - r) * n] / own);
    }
  }
  return panel;
}

}  // namespace

ErrorFeedback::ErrorFeedback(const Metric& metric, const FeedbackOptions& options)
    : factor_(std::make_unique<Factor>()), metric_(metric), options_(options) {
  if (!(options.damping >= 0) || std::isinf(options.damping))
    fail(ErrorKind::kUsage, "damping must be at least 0, got {}", options.damping);
  if (metric.columns() == 0) return;
  Factor& f = *factor_;
  f.order = column_order(metric, options.order);
  const double mean = f.mean = mean_importance(metric);
  if (metric.kind() != Metric::Kind::kSecondMoments || mean == 0) {
    for (const uint64_t c : f.order) f.pivots.push_back(mean > 0 ? metric.importance(c) : 1);
    return;
  }
  const uint64_t n = f.order.size();
  const int threads = thread_count(options.threads);
  std::vector<double> lower(n * n);
  f.damping = factorize(metric, f.order, mean, options.damping, threads, lower);
  for (uint64_t c = n; c-- > 0;) {
    const double pivot = lower[c * n + c];
    f.pivots.push_back(pivot * pivot * mean);
  }
  f.panels.resize((n + kTile - 1) / kTile);
  parallel_for(threads, f.panels.size(),
               [&](size_t i) { f.panels[i] = panel_of(lower, n, i * kTile); });
}

Curvature ErrorFeedback::Factor::curvature(const Metric& metric, uint64_t columns,
                                           int threads) const {
  const uint64_t n = columns;
  Curvature h{.n = n, .matrix = {}, .diagonal = std::vector<float>(n)};
  if (!feeds_back()) {
    std::ranges::copy(steps(n).pivots, h.diagonal.begin());
    return h;
  }
  h.matrix.resize(n * n);
  parallel_for(threads, n, [&](size_t r) {
    const double own = metric.importance(r);
    for (uint64_t c = 0; c < n; ++c) {
      const bool known = own > 0 && metric.importance(c) > 0;
      h.matrix[r * n + c] = known ? static_cast<float>(metric.matrix()[r * n + c] / mean) : 0.0f;
    }
    h.diagonal[r] = static_cast<float>((own > 0 ? own / mean : kDead) + damping);
    h.matrix[r * n + r] = h.diagonal[r];
  });
  return h;
}

ErrorFeedback::~ErrorFeedback() = default;
ErrorFeedback::ErrorFeedback(ErrorFeedback&&) noexcept = default;

double ErrorFeedback::damping() const { return factor_->damping; }

}  // namespace pith::fit
