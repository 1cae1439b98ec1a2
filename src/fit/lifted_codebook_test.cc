#include "pith/fit/lifted_codebook.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pith/fit/quantizers.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

// Runs of 16 whose elements are mixes of independent ones, of sizes that fall.
Matrix of_few_directions(Shape shape, float fall, uint32_t seed) {
  const Matrix mix = noise({16, 16}, 7);
  Matrix from = noise(shape, seed), w(shape);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; ++c) {
      const uint64_t first = c / 16 * 16;
      float size = 1;
      for (uint64_t k = 0; k < 16; ++k, size *= fall) {
        w.row(r)[c] += size * from.view().row(r)[first + k] * mix.view().row(k)[c % 16];
      }
    }
  }
  return w;
}

double error_of_dim(const Task& task, uint64_t dim, uint64_t bytes) {
  const uint64_t k = entries_within(task.weights.shape, 16, dim, bytes);
  return k == 0 ? INFINITY : lifted_codebook_fitter({16, dim, k})(task).error;
}

TEST(LiftedCodebooks, AreLeastLossyInBetweenAndWhereExpected) {
  const Matrix w = of_few_directions({192, 192}, 0.75f, 1);
  const Metric metric = metric_of(correlated(500, 192, 3));
  const Task task{"w", w.view(), metric, {}, 1};
  const uint64_t bytes = lifted_bytes(w.shape, {16, 16, 128});
  const auto forecasts = lift_forecasts(task, 16, bytes);
  const auto expected = std::ranges::min_element(forecasts, {}, &LiftForecast::all)->shape.dim;
  uint64_t best = 0;
  double least = INFINITY;
  for (const uint64_t dim : {1, 2, 4, 6, 8, 12, 16}) {
    const double error = error_of_dim(task, dim, bytes);
    if (error < least) {
      least = error;
      best = dim;
    }
  }
  EXPECT_GT(best, 1u);
  EXPECT_LT(best, 16u);
  EXPECT_LE(std::max(best, expected), 2 * std::min(best, expected)) << best << " " << expected;
  const Fitted chosen = best_lifted_codebook_fitter({16, 16, 128})(task);
  const Fitted plain = importance_fitter(parse("codebook(128, dim=16)"))(task);
  EXPECT_LE(bits(*chosen.form), bits(*plain.form) + 8 * 128);  // the alignment of arrays
  EXPECT_LT(chosen.error, 0.9 * plain.error);
}

TEST(LiftedCodebooks, AreOfTheBytesAndTheFormThatIsSaid) {
  const Shape shape{64, 96};
  for (const uint64_t dim : {1, 3, 8}) {
    for (const uint64_t bytes : {700, 1000, 3000}) {
      const uint64_t k = entries_within(shape, 8, dim, bytes);
      if (k == 0) continue;
      EXPECT_LE(lifted_bytes(shape, {8, dim, k}), bytes);
      if (k < 65536) {
        EXPECT_GT(lifted_bytes(shape, {8, dim, k + 1}), bytes);
      }
    }
  }
  EXPECT_EQ(entries_within(shape, 8, 8, 10), 0u);
  const Matrix w = noise(shape, 2);
  const Metric metric;
  const Fitted f = lifted_codebook_fitter({8, 3, 50})({"w", w.view(), metric, {}, 1});
  EXPECT_EQ(to_string(f.form->expression()), "codebook(50, dim=3) * rank(36) * repeated(8)");
  EXPECT_NEAR(f.error, error_of(metric, w, *f.form), 1e-9 * f.error);
  const Fitted all = lifted_codebook_fitter({8, 8, 50})({"w", w.view(), metric, {}, 1});
  EXPECT_EQ(to_string(all.form->expression()), "codebook(50, dim=8)");
  EXPECT_LT(all.error, f.error);
}

TEST(LiftedCodebooks, AnyShapeSingularAndDead) {
  for (const Shape shape : {Shape{1, 4}, {20, 4}, {3, 12}, {0, 4}}) {
    const Matrix w = noise(shape, 5, 0.02f), zeros(shape);
    const Metric few = metric_of(correlated(2, shape.cols, 6));
    const Metric nothing = Metric::diagonal(std::vector<double>(shape.cols, 0.0));
    for (const Metric* metric : {&few, &nothing}) {
      for (const Matrix* m : {&w, &zeros}) {
        const Task task{"w", m->view(), *metric, {}, 1};
        for (const uint64_t dim : {1, 2, 4}) {
          const Fitted f = lifted_codebook_fitter({4, dim, 6})(task);
          EXPECT_EQ(f.form->shape(), shape);
          EXPECT_TRUE(std::isfinite(f.error));
        }
        EXPECT_TRUE(std::isfinite(best_lifted_codebook_fitter({4, 4, 6})(task).error));
      }
    }
  }
}

TEST(LiftedCodebooks, RefuseWhatCannotBe) {
  const Matrix w = noise({4, 12}, 1);
  const Metric metric;
  const Task task{"w", w.view(), metric, {}, 1};
  for (const LiftedShape& s : {LiftedShape{5, 2, 8}, {4, 5, 8}, {4, 0, 8}, {4, 2, 1}, {0, 0, 8}}) {
    EXPECT_NE(refusal([&] { lifted_codebook_fitter(s)(task); }), "");
  }
}

}  // namespace
}  // namespace pith::fit
