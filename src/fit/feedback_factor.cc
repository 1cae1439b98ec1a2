#include "feedback_factor.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"

namespace pith::fit {
namespace {

using Eigen::Index;

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

// The lower triangle, last column first: Cholesky's factor of this is U, turned round.
void fill(const Metric& metric, const std::vector<uint64_t>& order, double mean, double damping,
          Eigen::MatrixXd& to) {
  const auto n = static_cast<Index>(order.size());
  const double* h = metric.matrix().data();
  for (Index c = 0; c < n; ++c) {
    const uint64_t column = order[static_cast<size_t>(n - 1 - c)];
    const double* row = h + column * order.size();
    const double own = row[column];
    for (Index r = c; r < n; ++r) {
      const uint64_t other = order[static_cast<size_t>(n - 1 - r)];
      // Of a channel that was always zero nothing is known.
      const bool known = own > 0 && h[other * order.size() + other] > 0;
      to(r, c) = known ? row[other] / mean : 0;
    }
    to(c, c) = (own > 0 ? own / mean : kDead) + damping;
  }
}

bool is_sound(const Eigen::MatrixXd& lower) {
  const auto d = lower.diagonal().array();
  return d.isFinite().all() && (d > 0).all();
}

// Returns the damping that was needed.
double factorize(const Metric& metric, const std::vector<uint64_t>& order, double mean,
                 double damping, Eigen::MatrixXd& lower) {
  constexpr double kLeast = 1e-9, kRaise = 10;
  for (;;) {
    fill(metric, order, mean, damping, lower);
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> llt(lower);
    if (llt.info() == Eigen::Success && is_sound(lower)) return damping;
    damping = std::max(kLeast, damping * kRaise);
  }
}

}  // namespace

ErrorFeedback::ErrorFeedback(const Metric& metric, const FeedbackOptions& options)
    : factor_(std::make_unique<Factor>()), metric_(metric), options_(options) {
  if (!(options.damping >= 0) || std::isinf(options.damping))
    fail(ErrorKind::kUsage, "damping must be at least 0, got {}", options.damping);
  if (metric.columns() == 0) return;
  Factor& f = *factor_;
  f.order = column_order(metric, options.order);
  const double mean = mean_importance(metric);
  if (metric.kind() != Metric::Kind::kSecondMoments || mean == 0) {
    for (const uint64_t c : f.order) f.pivots.push_back(mean > 0 ? metric.importance(c) : 1);
    return;
  }
  const uint64_t n = f.order.size();
  Eigen::MatrixXd lower(static_cast<Index>(n), static_cast<Index>(n));
  f.damping = factorize(metric, f.order, mean, options.damping, lower);
  const auto at = [&](uint64_t r, uint64_t c) {
    return lower(static_cast<Index>(n - 1 - r), static_cast<Index>(n - 1 - c));
  };
  for (uint64_t c = 0; c < n; ++c) f.pivots.push_back(at(c, c) * at(c, c) * mean);
  for (uint64_t first = 0; first < n; first += kTile) {
    const uint64_t last = std::min(first + kTile, n);
    std::vector<float>& panel = f.panels.emplace_back(last * kTile);
    for (uint64_t c = first; c < last; ++c) {
      for (uint64_t r = 0; r < c; ++r) {
        panel[r * kTile + c - first] = static_cast<float>(at(r, c) / at(c, c));
      }
    }
  }
}

ErrorFeedback::~ErrorFeedback() = default;
ErrorFeedback::ErrorFeedback(ErrorFeedback&&) noexcept = default;

double ErrorFeedback::damping() const { return factor_->damping; }

}  // namespace pith::fit
