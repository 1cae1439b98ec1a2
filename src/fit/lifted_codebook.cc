#include "pith/fit/lifted_codebook.h"

#include <algorithm>
#include <cmath>

#include "lift_forecast.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/compose.h"
#include "pith/math/cholesky.h"
#include "pith/math/kmeans.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using Numbers = std::vector<double>;

constexpr double kWorthwhile = 0.9995;
// Turns of entries and lift beside the same codes.
constexpr int kInnerTurns = 4;
constexpr double kLittle = 1e-9;

// a x = b for a symmetric a of n x n that is at least semidefinite; x stands in the place of b.
void solve(Numbers& a, uint64_t n, Numbers& b) {
  double mean = 0;
  for (uint64_t i = 0; i < n; ++i) mean += a[i * n + i] / static_cast<double>(n);
  for (uint64_t i = 0; i < n; ++i) a[i * n + i] += kLittle * mean;
  if (!(mean > 0) || !math::cholesky(a.data(), n)) {
    b.assign(n, 0);
    return;
  }
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j < i; ++j) b[i] -= a[i * n + j] * b[j];
    b[i] /= a[i * n + i];
  }
  for (uint64_t i = n; i-- > 0;) {
    for (uint64_t j = i + 1; j < n; ++j) b[i] -= a[j * n + i] * b[j];
    b[i] /= a[i * n + i];
  }
}

class Turns {
 public:
  Turns(const Task& task, const LiftedShape& shape)
      : task_(task),
        s_(shape),
        threads_(thread_count(task.threads)),
        runs_(task.weights.shape.cols / shape.length),
        importance_(lift_importance(task)),
        codes_(task.weights.shape.rows * runs_) {
    start();
  }

  Fitted run(int rounds) {
    Fitted best{nullptr, INFINITY};
    for (int round = 0; round < rounds; ++round) {
      choose();
      const Fitted now = measured(task_, form());
      const double before = best.error;
      best = better(std::move(best), now);
      if (!(now.error < kWorthwhile * before) || round + 1 == rounds) break;
      improve();
    }
    // With the numbers that the last codes were to have.
    improve();
    return better(std::move(best), measured(task_, form()));
  }

 private:
  bool lifted() const { return s_.dim < s_.length; }

  void start() {
    const auto [rows, cols] = task_.weights.shape;
    const math::SymmetricEigen axes = principal_runs(task_, importance_, s_.length);
    lift_.assign(s_.dim * s_.length, 0);
    for (uint64_t k = 0; k < s_.dim; ++k) {
      for (uint64_t i = 0; i < s_.length; ++i) {
        lift_[k * s_.length + i] =
            lifted() ? axes.vectors[k * s_.length + i] : (k == i ? 1.0f : 0.0f);
      }
    }
    std::vector<float> points, weights;
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t c = 0; c < cols; c += s_.length) {
        const float* v = task_.weights.row(r).data() + c;
        double weight = 0;
        for (uint64_t i = 0; i < s_.length; ++i) weight += importance_[c + i];
        weights.push_back(static_cast<float>(weight * row_weight(r)));
        for (uint64_t k = 0; k < s_.dim; ++k) {
          double sum = 0;
          for (uint64_t i = 0; i < s_.length; ++i) sum += lift_[k * s_.length + i] * double{v[i]};
          points.push_back(static_cast<float>(sum));
        }
      }
    }
    entries_ =
        math::kmeans(points, s_.dim, weights, s_.entries, {.rounds = 8, .threads = threads_});
  }

  double row_weight(uint64_t r) const { return task_.outputs.empty() ? 1 : task_.outputs[r]; }

  // Of all entries, what they stand for: k x length.
  std::vector<float> lifted_entries() const {
    std::vector<float> out(s_.entries * s_.length);
    for (uint64_t e = 0; e < s_.entries; ++e) {
      for (uint64_t i = 0; i < s_.length; ++i) {
        double sum = 0;
        for (uint64_t k = 0; k < s_.dim; ++k) {
          sum += double{entries_[e * s_.dim + k]} * lift_[k * s_.length + i];
        }
        out[e * s_.length + i] = static_cast<float>(sum);
      }
    }
    return out;
  }

  void choose() {
    const std::vector<float> table = lifted_entries();
    const uint64_t rows = task_.weights.shape.rows, m = s_.length;
    parallel_for(threads_, runs_, [&](size_t run) {
      std::vector<float> own(table.size()), points(rows * m);
      std::vector<uint32_t> codes(rows);
      for (uint64_t i = 0; i < m; ++i) {
        const auto size = static_cast<float>(std::sqrt(importance_[run * m + i]));
        for (uint64_t e = 0; e < s_.entries; ++e) own[e * m + i] = size * table[e * m + i];
        for (uint64_t r = 0; r < rows; ++r) {
          points[r * m + i] = size * task_.weights.row(r)[run * m + i];
        }
      }
      math::NearestCentroid(own, m)(points, codes.data());
      for (uint64_t r = 0; r < rows; ++r) {
        codes_[r * runs_ + run] = static_cast<uint16_t>(codes[r]);
      }
    });
  }

  // Of the runs of each entry, the weights of their elements and these times the elements: all that
  // entries and lift are fitted to.
  void improve() {
    const uint64_t m = s_.length, d = s_.dim;
    Numbers mass(s_.entries * m), sums(s_.entries * m);
    for (uint64_t r = 0; r < task_.weights.shape.rows; ++r) {
      const double own = row_weight(r);
      for (uint64_t run = 0; run < runs_; ++run) {
        const uint64_t at = codes_[r * runs_ + run] * m;
        for (uint64_t i = 0; i < m; ++i) {
          const double w = own * importance_[run * m + i];
          mass[at + i] += w;
          sums[at + i] += w * task_.weights.row(r)[run * m + i];
        }
      }
    }
    for (int turn = 0; turn < (lifted() ? kInnerTurns : 1); ++turn) {
      if (turn > 0) improve_lift(mass, sums);
      parallel_for(threads_, s_.entries, [&](size_t e) {
        Numbers a(d * d), b(d);
        for (uint64_t i = 0; i < m; ++i) {
          const double w = mass[e * m + i], v = sums[e * m + i];
          for (uint64_t k = 0; k < d; ++k) {
            const double of = lift_[k * m + i];
            b[k] += of * v;
            for (uint64_t j = 0; j <= k; ++j) a[k * d + j] += w * of * lift_[j * m + i];
          }
        }
        set(entries_.data() + e * d, 1, a, b);
      });
    }
  }

  // Each column of the lift by itself.
  void improve_lift(const Numbers& mass, const Numbers& sums) {
    const uint64_t m = s_.length, d = s_.dim;
    parallel_for(threads_, m, [&](size_t i) {
      Numbers a(d * d), b(d);
      for (uint64_t e = 0; e < s_.entries; ++e) {
        const float* entry = entries_.data() + e * d;
        const double w = mass[e * m + i], v = sums[e * m + i];
        for (uint64_t k = 0; k < d; ++k) {
          b[k] += entry[k] * v;
          for (uint64_t j = 0; j <= k; ++j) a[k * d + j] += w * entry[k] * entry[j];
        }
      }
      set(lift_.data() + i, m, a, b);
    });
  }

  // The solution in the place of so many numbers, unless nothing asks for one.
  static void set(float* to, uint64_t stride, Numbers& a, Numbers& b) {
    if (!(*std::ranges::max_element(a) > 0)) return;
    solve(a, b.size(), b);
    for (uint64_t k = 0; k < b.size(); ++k) {
      if (std::isfinite(b[k])) to[k * stride] = static_cast<float>(b[k]);
    }
  }

  form::FormPtr form() const {
    const form::Shape shape = task_.weights.shape;
    const form::Shape inner{shape.rows, runs_ * s_.dim};
    const form::FormPtr left = form::codebook_of(inner, s_.dim, entries_, codes_);
    if (!lifted()) return left;
    Matrix block({inner.cols, shape.cols});
    for (uint64_t r = 0; r < inner.cols; ++r) {
      const uint64_t run = r / s_.dim;
      std::ranges::copy_n(lift_.begin() + static_cast<int64_t>(r % s_.dim * s_.length),
                          static_cast<int64_t>(s_.length),
                          block.row(r).begin() + static_cast<int64_t>(run * s_.length));
    }
    const auto repeated = form::parse(fmt::format("repeated({})", s_.length));
    return form::product_of({left, form::encode(repeated, block.view())});
  }

  const Task& task_;
  LiftedShape s_;
  int threads_;
  uint64_t runs_;  // of a row
  Numbers importance_;
  std::vector<uint16_t> codes_;
  std::vector<float> lift_, entries_;  // dim x length, entries x dim
};

Fitted fitted(const Task& task, const LiftedShape& shape, const LiftOptions& options) {
  require_finite(task);
  task.inputs.require(task.weights.shape);
  require_lift(shape, task.weights.shape);
  if (task.weights.shape.size() == 0) {
    return measured(
        task,
        form::encode(form::parse(fmt::format("codebook({}, dim={})", shape.entries, shape.length)),
                     task.weights));
  }
  return Turns(task, shape).run(options.rounds);
}

}  // namespace

Fitter lifted_codebook_fitter(const LiftedShape& shape, const LiftOptions& options) {
  return [=](const Task& task) { return fitted(task, shape, options); };
}

Fitter best_lifted_codebook_fitter(const LiftedShape& plain, const LiftOptions& options) {
  return [=](const Task& task) {
    const LiftedShape without{plain.length, plain.length, plain.entries};
    const auto all = lift_forecasts(task, plain.length, lifted_bytes(task.weights.shape, without));
    const auto best = std::ranges::min_element(all, {}, &LiftForecast::all);
    return fitted(task, best == all.end() ? without : best->shape, options);
  };
}

}  // namespace pith::fit
