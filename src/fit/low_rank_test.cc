#include "pith/fit/low_rank.h"

#include <gtest/gtest.h>

#include <array>

#include "pith/base/error.h"
#include "pith/fit/feedback.h"
#include "pith/fit/quantizers.h"
#include "pith/math/eigen.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;

Fitted fit(const char* text, const Matrix& w, const Metric& metric,
           std::span<const double> outputs = {}) {
  return low_rank_fitter(parse(text), {1e-3})({"w", w.view(), metric, outputs, 1});
}

double plain(const char* text, const Matrix& w, const Metric& metric,
             std::span<const double> outputs = {}) {
  return measured({"w", w.view(), metric, outputs, 1}, encode(parse(text), w.view())).error;
}

Matrix product_of_factors(const Matrix& a, const Matrix& b) {
  Matrix w({a.shape.rows, b.shape.cols});
  for (uint64_t r = 0; r < w.shape.rows; ++r) {
    for (uint64_t i = 0; i < b.shape.rows; ++i) {
      for (uint64_t c = 0; c < w.shape.cols; ++c) {
        w.row(r)[c] += a.view().row(r)[i] * b.view().row(i)[c];
      }
    }
  }
  return w;
}

// Weights with a spectrum that falls, as trained ones have.
Matrix falling(form::Shape shape, uint32_t seed) {
  const uint64_t k = std::min(shape.rows, shape.cols);
  const Matrix a = noise({shape.rows, k}, seed), b = noise({k, shape.cols}, seed + 1);
  Matrix w(shape);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t i = 0; i < k; ++i) {
      const float f = a.view().row(r)[i] / (1.0f + static_cast<float>(i));
      for (uint64_t c = 0; c < shape.cols; ++c) w.row(r)[c] += 0.02f * f * b.view().row(i)[c];
    }
  }
  return w;
}

TEST(LowRank, LeavesLessErrorThanPlainTruncation) {
  const Matrix w = falling({96, 120}, 1);
  const Metric seen = metric_of(correlated(2000, 120, 10)),
               other = metric_of(correlated(500, 120, 20));
  for (const char* text : {"lowrank(4)", "lowrank(16)", "lowrank(40, factors=uniform(8))"}) {
    const Fitted fitted = fit(text, w, seen);
    EXPECT_EQ(form::to_string(fitted.form->expression()),
              form::to_string(encode(parse(text), w.view())->expression()));
    EXPECT_LT(error_of(other, w, *fitted.form), 0.7 * plain(text, w, other)) << text;
    EXPECT_NEAR(fitted.error, error_of(seen, w, *fitted.form), 1e-6 * fitted.error);
  }
}

TEST(LowRank, IsPlainTruncationWhereInputsAreIndependent) {
  const Matrix w = falling({30, 50}, 2);
  std::vector<double> h(2500);
  for (size_t c = 0; c < 50; ++c) h[c * 51] = 7;
  const Metric same = Metric::second_moments(50, h);
  EXPECT_NEAR(fit("lowrank(5)", w, same).error, plain("lowrank(5)", w, same),
              1e-3 * plain("lowrank(5)", w, same));
  EXPECT_NEAR(fit("lowrank(5)", w, Metric()).error, plain("lowrank(5)", w, Metric()),
              1e-3 * plain("lowrank(5)", w, Metric()));
}

// FWSVD's mechanism: rows that matter are kept, though the squared error is larger.
TEST(LowRank, KeepsTheOutputsThatMatter) {
  const Matrix w = noise({64, 48}, 3, 0.02f);
  std::vector<double> outputs(64, 1e-3);
  for (size_t r = 0; r < 64; r += 5) outputs[r] = 1;
  const Fitted fitted = fit("lowrank(16)", w, Metric(), outputs);
  EXPECT_LT(fitted.error, 0.4 * plain("lowrank(16)", w, Metric(), outputs));
  EXPECT_GT(error_of(Metric(), w, *fitted.form), plain("lowrank(16)", w, Metric()));
}

TEST(LowRank, TellsTheErrorOfEveryRank) {
  const Matrix w = falling({40, 60}, 4);
  const Metric metric = metric_of(correlated(500, 60, 5));
  std::vector<double> outputs(40, 2.0);
  const Task task{"w", w.view(), metric, outputs, 1};
  const Truncation truncation(task, 100, {1e-9});
  EXPECT_EQ(truncation.rank(), 40u);
  for (const uint64_t r : {0, 1, 7, 30}) {
    const auto form = product_of_factors(truncation.left(r), truncation.right(r));
    const double wanted = error(task, form.view());
    EXPECT_NEAR(truncation.error(r), wanted, 1e-3 * wanted + 1e-5 * truncation.error(0)) << r;
    EXPECT_LE(truncation.error(r + 1), truncation.error(r));
  }
}

TEST(LowRank, SurvivesWhatIsSingularOrDead) {
  Matrix x = correlated(10, 40, 5);
  for (uint64_t t = 0; t < 10; ++t) x.row(t)[3] = x.row(t)[39] = 0;
  const Matrix w = falling({20, 40}, 6);
  const Metric few = metric_of(x);
  EXPECT_LE(fit("lowrank(12)", w, few).error, 0.05 * plain("lowrank(12)", w, few));
  const Metric nothing = Metric::second_moments(40, std::vector<double>(1600));
  EXPECT_EQ(fit("lowrank(12)", w, nothing).error, 0);
  EXPECT_NEAR(error_of(Metric(), w, *fit("lowrank(12)", w, nothing).form),
              plain("lowrank(12)", w, Metric()), 0.01 * plain("lowrank(12)", w, Metric()));
  const std::vector<double> dead(20);
  EXPECT_EQ(fit("lowrank(12)", w, few, dead).error, 0);
  const Metric diagonal = Metric::diagonal(std::vector<double>(40, 2.0));
  EXPECT_LE(fit("lowrank(5)", w, diagonal).error, 1.001 * plain("lowrank(5)", w, diagonal));
}

TEST(LowRank, AnyShapeAndSize) {
  for (const form::Shape shape : {form::Shape{1, 1}, {1, 30}, {30, 1}, {0, 5}}) {
    const Matrix w = noise(shape, 7, 0.02f);
    const Metric metric = metric_of(correlated(50, shape.cols, 3));
    for (const char* text : {"lowrank(0)", "lowrank(1)", "lowrank(100)"}) {
      EXPECT_EQ(fit(text, w, metric).form->shape(), shape) << text;
    }
    EXPECT_LE(fit("lowrank(1)", w, metric).error, 1e-5 * plain("lowrank(0)", w, metric) + 1e-12);
  }
  for (const float size : {1e-30f, 1e30f}) {
    const Matrix w = noise({20, 30}, 8, size);
    const Metric metric = metric_of(correlated(50, 30, 3));
    const auto f = fit("lowrank(10, factors=dense(f32))", w, metric);
    EXPECT_LT(f.error, 0.5 * plain("lowrank(0)", w, metric)) << size;
  }
}

TEST(LowRank, RanksOfAShare) {
  EXPECT_EQ(rank_of_share({100, 100}, 0.5), 25u);
  EXPECT_EQ(rank_of_share({100, 300}, 0.2), 15u);
  EXPECT_EQ(rank_of_share({100, 300}, 9), 100u);
  EXPECT_EQ(rank_of_share({0, 300}, 0.5), 0u);
  EXPECT_NE(refusal([] { rank_of_share({1, 1}, NAN); }), "");
}

// LLM-ROM's mechanism: W' is the projection of the outputs onto the eigenvectors of their second
// moments, which are those of the left factor.
TEST(LowRank, MomentsGiveTheEigenvectorsOfTheOutputs) {
  const Matrix w = falling({24, 40}, 4), x = correlated(300, 40, 5);
  std::vector<double> unlike(24, 1.0);
  unlike[3] = 1000;  // which says nothing of the outputs' sizes
  const Metric seen = metric_of(x);
  const Task task{"w", w.view(), seen, unlike, 1};
  const Truncation kept(task, 6, {.damping = 0, .by = Weighing::kMoments});
  const Matrix v = kept.left(6);
  std::vector<float> outputs(300 * 24), moments(24 * 24);
  for (uint64_t t = 0; t < 300; ++t) {
    for (uint64_t r = 0; r < 24; ++r) {
      for (uint64_t c = 0; c < 40; ++c)
        outputs[t * 24 + r] += x.view().row(t)[c] * w.view().row(r)[c];
    }
  }
  const auto gram = math::gram(outputs.data(), 300, 24, 24);
  const auto axes = math::symmetric_eigen(gram.data(), 24);
  for (uint64_t k = 0; k < 6; ++k) {
    double along = 0, size = 0;
    for (uint64_t r = 0; r < 24; ++r) {
      along += double{v.view().row(r)[k]} * axes.vectors[k * 24 + r];
      size += double{v.view().row(r)[k]} * v.view().row(r)[k];
    }
    EXPECT_NEAR(std::abs(along) / std::sqrt(size), 1, 1e-3) << k;
  }
}

TEST(LowRank, NestedRanksAreThoseOfEachAlone) {
  const Matrix w = falling({30, 50}, 2), other = falling({30, 50}, 9);
  const Metric seen = metric_of(correlated(300, 50, 5)),
               seen_later = metric_of(correlated(300, 50, 6));
  const auto share = [](double s) -> RankOf {
    return [s](form::Shape shape) { return rank_of_share(shape, s); };
  };
  const TruncationOptions options{.by = Weighing::kMoments};
  const auto factors = parse("dense(f16)");
  const std::vector<Fitter> nested = nested_low_ranks({share(0.2), share(0.6)}, factors, options);
  for (const Metric* metric : {&seen, &seen_later}) {
    for (const Matrix* m : {&w, &other}) {
      const Task task{m == &w ? "w" : "other", m->view(), *metric, {}, 1};
      EXPECT_EQ(form::write(*nested[0](task).form),
                form::write(*low_rank_of_share(0.2, factors, options)(task).form));
      EXPECT_EQ(form::write(*nested[1](task).form),
                form::write(*low_rank_of_share(0.6, factors, options)(task).form));
    }
  }
}

TEST(LowRank, FactorsOfAFitterLoseLessThanRoundedOnes) {
  const Matrix w = falling({96, 120}, 1);
  const Metric seen = metric_of(correlated(2000, 120, 10)),
               other = metric_of(correlated(500, 120, 20));
  const auto codes = parse("uniform(3, group=24)");
  const TruncationOptions options{1e-3};
  const Task task{"w", w.view(), seen, {}, 1};
  const Fitted rounded = low_rank_of_share(0.8, codes, options)(task);
  const Fitted fed = low_rank_of_share(0.8, feedback_fitter(codes), options)(task);
  EXPECT_EQ(fed.form->expression(), rounded.form->expression());
  EXPECT_LT(error_of(other, w, *fed.form), 0.7 * error_of(other, w, *rounded.form));
  EXPECT_NEAR(fed.error, error_of(seen, w, *fed.form), 1e-6 * fed.error);
}

// EoRA's mechanism.
TEST(Compensation, MakesUpForWhatTheFormLeft) {
  const Matrix w = falling({96, 120}, 1);
  const Metric seen = metric_of(correlated(2000, 120, 10)),
               other = metric_of(correlated(500, 120, 20));
  for (const char* text : {"sparse(2:4)", "uniform(3, group=40)"}) {
    const Fitter base = [&](const Task& task) {
      return measured(task, encode(parse(text), task.weights));
    };
    const Task task{"w", w.view(), seen, {}, 1};
    const double alone = error_of(other, w, *base(task).form);
    const auto fitted = compensated(base, parse("lowrank(16)"), {1e-3})(task);
    const auto plainly = encode(parse(std::string(text) + " + lowrank(16)"), w.view());
    EXPECT_EQ(fitted.form->expression(), plainly->expression());
    EXPECT_LT(error_of(other, w, *fitted.form), 0.8 * error_of(other, w, *plainly)) << text;
    EXPECT_LT(error_of(other, w, *fitted.form), 0.7 * alone) << text;
  }
}

TEST(Compensation, IsPlainTruncationWhereInputsAreIndependent) {
  const Matrix w = falling({30, 50}, 2);
  const Fitter base = [&](const Task& task) {
    return measured(task, encode(parse("sparse(2:4)"), task.weights));
  };
  const Metric metric;
  const auto fitted = compensated(base, parse("lowrank(5)"))({"w", w.view(), metric, {}, 1});
  EXPECT_NEAR(fitted.error, plain("sparse(2:4) + lowrank(5)", w, metric), 1e-3 * fitted.error);
}

TEST(LowRank, RefusesWhatItCannotFit) {
  Matrix w = noise({4, 6}, 2);
  EXPECT_NE(refusal([&] { fit("dense(f16)", w, Metric()); }).find("`dense(f16)` is no low rank"),
            std::string::npos);
  EXPECT_NE(refusal([&] { fit("lowrank(2)", w, Metric::diagonal({1, 2})); }), "");
  const std::array<double, 2> few = {1, 2};
  EXPECT_EQ(refusal([&] { fit("lowrank(2)", w, Metric(), few); }),
            "w: importances of 2 rows for a matrix of 4");
  w.row(2)[3] = NAN;
  EXPECT_EQ(refusal([&] { fit("lowrank(2)", w, Metric()); }), "w: row 2, column 3 is nan");
}

}  // namespace
}  // namespace pith::fit
