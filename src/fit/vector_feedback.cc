// Codes of several neighbours of a row by error feedback.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "entry_refit.h"
#include "feedback_factor.h"
#include "owed_errors.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/vector_fit.h"
#include "run_metrics.h"
#include "scaled_strip.h"

namespace pith::fit {
namespace {

using form::MatrixView;
using form::VectorFit;

struct VectorJob {
  MatrixView weights;
  VectorFit& fit;
  const Curvature& h;
  const RunMetrics& metrics;
  uint64_t dim, group;  // columns of a run, and of those that share a scale

  uint64_t columns() const { return weights.shape.cols; }
};

template <class Factor>
class VectorStrip : public ScaledStrip {
 public:
  VectorStrip(const Factor& factor, VectorJob& job, uint64_t first_row)
      : ScaledStrip(job.weights, job.h, job.group, first_row,
                    std::min<uint64_t>(kTile, job.weights.shape.rows - first_row)),
        factor_(factor),
        job_(job),
        change_(std::max(job.dim, job.group) * kTile),
        wanted_(rows_ * job.dim),
        found_(rows_ * job.dim) {}

  void feed_back() {
    OwedErrors<Factor> owed(factor_, job_.columns());
    std::vector<float> sums(job_.dim * kTile), errors(job_.dim * kTile);
    const uint64_t length = kMostSteps / job_.dim * job_.dim;
    for (uint64_t at = 0; at < job_.columns(); at += length) {
      const Steps block{at, std::min(at + length, job_.columns())};
      for (uint64_t c = block.first; c < block.last; c += job_.dim) {
        const uint64_t n = std::min(job_.dim, block.last - c);
        for (uint64_t i = c; i < c + n; ++i) owed.add(block, block.first, c, i);
        owed.expect(c, n, sums.data(), errors.data());
        for (uint64_t r = 0; r < rows_; ++r) {
          for (uint64_t i = 0; i < job_.dim; ++i) {
            wanted_[r * job_.dim + i] =
                i < n ? weights_[(c + i) * kTile + r] + sums[i * kTile + r] : 0.0f;
          }
        }
        job_.fit.choose({first_row_, rows_, c, job_.metrics.conditional(c / job_.dim),
                         wanted_.data(), found_.data()});
        for (uint64_t i = 0; i < n; ++i) {
          float *v = values_.data() + (c + i) * kTile, *e = owed.errors(block, c + i);
          for (uint64_t r = 0; r < rows_; ++r) {
            v[r] = found_[r * job_.dim + i];
            e[r] = weights_[(c + i) * kTile + r] - v[r];
          }
        }
      }
      owed.pass_on(block);
    }
  }

  // Codes that are there already.
  void take() {
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t c = 0; c < job_.columns(); c += job_.dim) {
        job_.fit.values(first_row_ + r, c, found_.data());
        for (uint64_t i = 0; i < std::min(job_.dim, job_.columns() - c); ++i) {
          values_[(c + i) * kTile + r] = found_[i];
        }
      }
    }
  }

  void improve_scales() { ScaledStrip::improve_scales(job_.fit); }

  // Each run's codes to their best beside all others. False where none is better.
  bool improve_codes() {
    bool any = false;
    for (uint64_t c = 0; c < job_.columns(); c += job_.dim) any |= improve_run(c);
    return any;
  }

 private:
  bool improve_run(uint64_t first) {
    const uint64_t dim = job_.dim, n = std::min(dim, job_.columns() - first);
    const auto inverse = job_.metrics.inverse(first / dim);
    std::ranges::fill(wanted_, 0.0f);
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t i = 0; i < n; ++i) {
        double better = values_[(first + i) * kTile + r];
        for (uint64_t k = 0; k < n; ++k) {
          better += inverse[i * dim + k] * left_[(first + k) * kTile + r];
        }
        wanted_[r * dim + i] = static_cast<float>(better);
      }
    }
    job_.fit.choose({first_row_, rows_, first, job_.metrics.own(first / dim), wanted_.data(),
                     found_.data(), true});
    bool any = false;
    for (uint64_t i = 0; i < n; ++i) {
      float *v = values_.data() + (first + i) * kTile, *by = change_.data() + i * kTile;
      std::fill_n(by, kTile, 0.0f);
      for (uint64_t r = 0; r < rows_; ++r) {
        by[r] = v[r] - found_[r * dim + i];
        any |= by[r] != 0;
        v[r] = found_[r * dim + i];
      }
    }
    if (!any) return false;
    for (uint64_t c = 0; c < job_.columns(); ++c) {
      add_multiples(job_.h.matrix.data() + c * job_.columns() + first, 1, change_.data(), n,
                    left_.data() + c * kTile);
    }
    return true;
  }

  const Factor& factor_;
  VectorJob& job_;
  std::vector<float> change_;
  std::vector<float> wanted_, found_;  // of a run, row by row
};

constexpr double kFactors[] = {0.92, 1, 1.05, 1.1, 1.16, 1.25};
constexpr uint64_t kTrialStrips = 2;

// Of all groups, row by row.
std::vector<float> scales_of(const VectorJob& job) {
  std::vector<float> scales;
  for (uint64_t r = 0; r < job.weights.shape.rows; ++r) {
    for (uint64_t c = 0; c < job.columns(); c += job.group) scales.push_back(job.fit.scale(r, c));
  }
  return scales;
}

void set_scales(VectorJob& job, const std::vector<float>& scales, double factor) {
  uint64_t i = 0;
  for (uint64_t r = 0; r < job.weights.shape.rows; ++r) {
    for (uint64_t c = 0; c < job.columns(); c += job.group) {
      job.fit.set_scale(r, c, static_cast<float>(factor * scales[i++]));
    }
  }
}

// How often codes are chosen anew for entries and scales that were fitted to the last.
int rounds_for(const VectorFit& fit) {
  constexpr uint64_t kFew = 1 << 14;
  if (fit.entries() == 0) return 2;
  return fit.entries() <= kFew ? 6 : 3;
}

}  // namespace

ErrorFeedback::Result ErrorFeedback::encode_vectors(form::FormPtr start, MatrixView weights,
                                                    RowImportance rows) const {
  metric_.require(weights.shape);
  VectorFit fit(start);
  if (fit.shape() != weights.shape || (!rows.empty() && rows.size() != weights.shape.rows)) {
    fail(ErrorKind::kUsage, "codes or importances for weights of another shape");
  }
  const auto [order, pivots] = factor_->steps(weights.shape.cols);
  if (!std::ranges::is_sorted(order)) {
    fail(ErrorKind::kUsage, "codes of several columns are chosen in their natural order");
  }
  if (weights.shape.size() == 0) return {std::move(start), 0};
  const int threads = thread_count(options_.threads);
  const double mean = factor_->feeds_back() ? factor_->mean : 1;
  const Curvature h = factor_->curvature(metric_, weights.shape.cols, threads);
  const RunMetrics metrics(*factor_, pivots, h.matrix, fit.dim());
  VectorJob job{weights, fit, h, metrics, fit.dim(), fit.group_length()};

  Result best{std::move(start), 0};
  const uint64_t strips = (weights.shape.rows + kTile - 1) / kTile;
  // Of every so many strips.
  const auto pass = [&](bool feed_back, int sweeps, uint64_t every = 1) {
    std::vector<double> errors((strips + every - 1) / every);
    parallel_for(threads, errors.size(), [&](size_t i) {
      VectorStrip<Factor> strip(*factor_, job, i * every * kTile);
      feed_back ? strip.feed_back() : strip.take();
      strip.begin_descent();
      strip.improve_scales();
      for (int s = 0; s < sweeps && strip.improve_codes(); ++s) strip.improve_scales();
      errors[i] = strip.error();
    });
    return mean * std::accumulate(errors.begin(), errors.end(), 0.0);
  };
  std::vector<float> begin;
  if (job.group > 0) begin = scales_of(job);
  best.error = pass(false, 0);
  if (job.group > 0) set_scales(job, begin, 1);
  const auto keep = [&](double error) {
    if (!(error < best.error)) return;
    best = {fit.form(), error};
  };
  if (job.dim > kMostSteps) return best;
  if (fit.entries() == 0 && job.group > 0) {
    // What errors are passed on makes what is rounded larger than the weights: what suits some rows
    // suits all.
    const uint64_t every = std::max<uint64_t>(1, strips / kTrialStrips);
    double least = INFINITY, chosen = 1;
    for (const double factor : kFactors) {
      set_scales(job, begin, factor);
      const double error = pass(true, 0, std::min(every, strips));
      if (!(error < least)) continue;
      least = error;
      chosen = factor;
    }
    set_scales(job, begin, chosen);
  }
  const int rounds = rounds_for(fit), sweeps = factor_->feeds_back() ? options_.sweeps : 0;
  for (int round = 0; round < rounds; ++round) {
    if (round > 0) refit_entries(h, weights, rows, threads, fit);
    keep(pass(true, round + 1 < rounds ? 0 : sweeps));
  }
  if (fit.entries() > 0) {
    refit_entries(h, weights, rows, threads, fit);
    keep(pass(false, sweeps));
  }
  return best;
}

}  // namespace pith::fit
