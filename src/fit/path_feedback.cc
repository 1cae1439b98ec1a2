// Paths through a trellis by error feedback.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "feedback_factor.h"
#include "owed_errors.h"
#include "path_pieces.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/trellis_fit.h"
#include "scaled_strip.h"

namespace pith::fit {
namespace {

using form::MatrixView;
using form::PathSearch;
using form::TrellisFit;

// Columns of a row that are settled before those of the next row: what is looked at beyond them is
// looked at again.
constexpr uint64_t kBlock = 2 * kMostSteps;

struct PathJob {
  MatrixView weights;
  TrellisFit& fit;
  const Curvature& h;
  std::span<const double> pivots;
  uint64_t group;  // columns that share a scale

  uint64_t columns() const { return weights.shape.cols; }
};

template <class Factor>
class PathStrip : public ScaledStrip {
 public:
  // Begins with the scales that are there times a number.
  PathStrip(const Factor& factor, const PathJob& job, uint64_t first_row, uint64_t rows,
            double times)
      : ScaledStrip(job.weights, job.h, job.group, first_row, rows),
        factor_(factor),
        job_(job),
        windows_(rows * columns_) {
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t c = 0; c < columns_; c += group()) {
        scales_.push_back(scaled(job.fit.scale(first_row + r, c), times));
      }
    }
  }

  float scale(uint64_t row, uint64_t column) const { return scales_[place(row, column)]; }
  float set_scale(uint64_t row, uint64_t column, float scale) {
    return scales_[place(row, column)] = job_.fit.rounded(scale);
  }

  // Paths that are there already.
  void take() {
    for (uint64_t r = 0; r < rows_; ++r) {
      std::ranges::copy(job_.fit.windows(first_row_ + r), windows_.begin() + at(r, 0));
      for (uint64_t c = 0; c < columns_; ++c) set_value(r, c);
    }
  }

  void feed_back() {
    OwedErrors<Factor> owed(factor_, columns_);
    PathSearch search = job_.fit.search();
    for (uint64_t first = 0; first < columns_; first += kBlock) {
      const Steps block{first, std::min(first + kBlock, columns_)};
      const uint64_t seen = std::min(block.last + search.look_ahead(), columns_);
      among(first, seen);
      for (uint64_t r = 0; r < rows_; ++r) {
        settle(block, seen, r, owed, search);
        for (uint64_t c = first; c < block.last; ++c) set_value(r, c);
      }
      for (uint64_t at = first; at < block.last; at += kMostSteps) {
        const Steps steps{at, std::min(at + kMostSteps, block.last)};
        for (uint64_t c = at; c < steps.last; ++c) {
          float* e = owed.errors(steps, c);
          for (uint64_t r = 0; r < rows_; ++r) {
            e[r] = weights_[c * kTile + r] - values_[c * kTile + r];
          }
        }
        owed.pass_on(steps);
      }
    }
  }

  // Returns the error; with the best scales beside these paths.
  double measure(bool improve) {
    begin_descent();
    if (improve) improve_scales(*this);
    return error();
  }

  // Each piece's path to the best that is found beside all other columns, after measure(). False
  // where none is better.
  bool improve_paths(std::span<const PathPiece> pieces) {
    PathSearch search = job_.fit.search();
    bool any = false;
    std::vector<float> change, products(columns_ * kTile);
    for (const PathPiece& piece : pieces) {
      change.assign(piece.size() * kTile, 0.0f);
      bool here = false;
      for (uint64_t r = 0; r < rows_; ++r) here |= improve_path(piece, r, search, change.data());
      if (!here) continue;
      any = true;
      multiply(piece.first, piece.size(), change.data(), products.data());
      for (uint64_t i = 0; i < left_.size(); ++i) left_[i] -= products[i];
    }
    return any;
  }

  void put() const {
    for (uint64_t r = 0; r < rows_; ++r) {
      job_.fit.set_windows(first_row_ + r, windows_.data() + at(r, 0));
      if (group_ == 0) continue;
      for (uint64_t c = 0; c < columns_; c += group_) {
        job_.fit.set_scale(first_row_ + r, c, scale(first_row_ + r, c));
      }
    }
  }

 private:
  uint64_t group() const { return group_ == 0 ? columns_ : group_; }
  uint64_t place(uint64_t row, uint64_t column) const {
    return (row - first_row_) * ((columns_ + group() - 1) / group()) + column / group();
  }
  ptrdiff_t at(uint64_t r, uint64_t column) const {
    return static_cast<ptrdiff_t>(r * columns_ + column);
  }
  float scaled(float scale, double times) const {
    return times == 1 ? scale : job_.fit.rounded(static_cast<float>(scale * times));
  }
  void set_value(uint64_t r, uint64_t c) {
    values_[c * kTile + r] =
        scale(first_row_ + r, c) * TrellisFit::value(windows_[r * columns_ + c]);
  }

  // U of the columns first <= c < last.
  void among(uint64_t first, uint64_t last) {
    const uint64_t n = last - first;
    if (!factor_.feeds_back()) return;
    factor_among_.assign(n * n, 0.0f);
    for (uint64_t i = 0; i < n; ++i) {
      for (uint64_t j = i + 1; j < n; ++j) {
        const uint64_t column = first + j;
        factor_among_[i * n + j] = factor_.row(column / kTile, first + i)[column % kTile];
      }
    }
  }

  // The path of a row through a block.
  void settle(const Steps& block, uint64_t seen, uint64_t r, const OwedErrors<Factor>& owed,
              PathSearch& search) {
    const uint64_t n = seen - block.first;
    std::array<float, 2 * kBlock> weights{}, wanted{}, scales{};
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t c = block.first + i;
      weights[i] = wanted[i] = weights_[c * kTile + r];
      if (owed.any()) wanted[i] += owed.at(c)[r];
      scales[i] = scale(first_row_ + r, c);
    }
    uint16_t* windows = windows_.data() + at(r, block.first);
    const int32_t before = block.first == 0 ? -1 : windows[-1];
    search({n, block.last - block.first, weights.data(), wanted.data(), scales.data(),
            job_.pivots.data() + block.first,
            factor_among_.empty() ? nullptr : factor_among_.data(), before},
           windows);
  }

  // change: of the values of the piece's columns.
  bool improve_path(const PathPiece& piece, uint64_t r, PathSearch& search, float* change) {
    const uint64_t n = piece.size();
    std::array<double, kBlock> left{}, step{};
    std::array<float, kBlock> wanted{}, scales{};
    std::array<uint16_t, kBlock> found{};
    for (uint64_t i = 0; i < n; ++i) left[i] = left_[(piece.first + i) * kTile + r];
    piece.solve(left.data(), step.data());
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t c = piece.first + i;
      wanted[i] = static_cast<float>(values_[c * kTile + r] + step[i]);
      scales[i] = scale(first_row_ + r, c);
    }
    uint16_t* windows = windows_.data() + at(r, piece.first);
    search({n, n, wanted.data(), wanted.data(), scales.data(), piece.pivots.data(),
            piece.factor.data(), piece.first == 0 ? -1 : windows[-1],
            piece.last == columns_ ? -1 : windows[n]},
           found.data());
    // What the error grows by: d H d - 2 d left, with d H d = the squares of Uᵀ d.
    std::array<double, kBlock> d{}, turned{};
    double more = 0;
    for (uint64_t i = 0; i < n; ++i) {
      d[i] =
          double{scales[i] * TrellisFit::value(found[i])} - values_[(piece.first + i) * kTile + r];
      more -= 2 * d[i] * left[i];
      for (uint64_t j = i; j < n; ++j) turned[j] += piece.factor[i * n + j] * d[i];
    }
    for (uint64_t j = 0; j < n; ++j) more += piece.pivots[j] * turned[j] * turned[j];
    if (!(more < 0)) return false;
    std::copy_n(found.begin(), n, windows);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t c = piece.first + i;
      const float before = values_[c * kTile + r];
      set_value(r, c);
      change[i * kTile + r] = values_[c * kTile + r] - before;
    }
    return true;
  }

  const Factor& factor_;
  const PathJob& job_;
  std::vector<float> scales_, factor_among_;
  std::vector<uint16_t> windows_;  // row by row
};

// Scales beside those that are there: what errors are passed on makes what is coded larger than the
// weights. What suits some rows suits all.
constexpr std::array kTimes = {0.94, 1.0, 1.06, 1.13, 1.25, 1.4};
constexpr uint64_t kTrialRows = 8, kTrialStrips = 2;

template <class Factor>
double best_times(const Factor& factor, const PathJob& job, int threads) {
  const uint64_t rows = job.weights.shape.rows, each = std::min(rows, kTrialRows);
  const uint64_t strips = std::min(rows / each, kTrialStrips);
  std::vector<double> errors(kTimes.size() * strips);
  parallel_for(threads, errors.size(), [&](size_t i) {
    const uint64_t first = i % strips * (rows / strips);
    PathStrip<Factor> strip(factor, job, first, each, kTimes[i / strips]);
    strip.feed_back();
    errors[i] = strip.measure(true);
  });
  size_t best = 0;
  double least = INFINITY;
  for (size_t t = 0; t < kTimes.size(); ++t) {
    double sum = 0;
    for (uint64_t s = 0; s < strips; ++s) sum += errors[t * strips + s];
    if (!(sum < least)) continue;
    least = sum;
    best = t;
  }
  return kTimes[best];
}

}  // namespace

ErrorFeedback::Result ErrorFeedback::encode_paths(form::FormPtr start, MatrixView weights) const {
  metric_.require(weights.shape);
  TrellisFit fit(start);
  if (fit.shape() != weights.shape) {
    fail(ErrorKind::kUsage, "a path for weights of another shape");
  }
  const auto [order, pivots] = factor_->steps(weights.shape.cols);
  if (!std::ranges::is_sorted(order)) {
    fail(ErrorKind::kUsage, "paths follow the columns in their natural order");
  }
  if (weights.shape.size() == 0) return {std::move(start), 0};
  const int threads = thread_count(options_.threads);
  const double mean = factor_->feeds_back() ? factor_->mean : 1;
  const Curvature h = factor_->curvature(metric_, weights.shape.cols, threads);
  const PathJob job{weights, fit, h, pivots, fit.group_length()};

  const uint64_t rows = weights.shape.rows, strips = (rows + kTile - 1) / kTile;
  // Every other sweep has its pieces' ends in the middle of those of the last.
  const int sweeps = factor_->feeds_back() ? options_.sweeps : 0;
  std::array<std::vector<PathPiece>, 2> pieces;
  for (size_t i = 0; i < 2 && static_cast<int>(i) < sweeps; ++i) {
    pieces[i] = path_pieces(h, kBlock, i * kBlock / 2, threads);
  }
  const auto pass = [&](bool feed_back, double times, int descents) {
    std::vector<double> errors(strips);
    parallel_for(threads, strips, [&](size_t i) {
      const uint64_t first = i * kTile;
      PathStrip<Factor> strip(*factor_, job, first, std::min<uint64_t>(kTile, rows - first), times);
      feed_back ? strip.feed_back() : strip.take();
      errors[i] = strip.measure(feed_back);
      for (int s = 0; s < descents && strip.improve_paths(pieces[s % 2]); ++s) {
        errors[i] = strip.measure(true);
      }
      if (feed_back) strip.put();
    });
    return mean * std::accumulate(errors.begin(), errors.end(), 0.0);
  };
  Result best{std::move(start), pass(false, 1, 0)};
  const double times = job.group > 0 ? best_times(*factor_, job, threads) : 1;
  const double error = pass(true, times, sweeps);
  if (error < best.error) best = {fit.form(), error};
  return best;
}

}  // namespace pith::fit
