#include "pith/fit/dictionary.h"

#include <gtest/gtest.h>

#include "matching_pursuit.h"
#include "pith/fit/low_rank.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

// Rows that take 3 of 24 patterns each.
Matrix of_patterns(Shape shape, uint32_t seed) {
  const Matrix patterns = noise({24, shape.cols}, seed), factors = noise({shape.rows, 3}, seed + 1);
  Matrix w = noise(shape, seed + 2, 0.02f);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t i = 0; i < 3; ++i) {
      const auto pattern = patterns.view().row((r * 7 + i * 5 + r * r) % 24);
      for (uint64_t c = 0; c < shape.cols; ++c) {
        w.row(r)[c] += factors.view().row(r)[i] * pattern[c];
      }
    }
  }
  return w;
}

TEST(MatchingPursuit, FindsWhatAVectorIsMadeOf) {
  const Matrix patterns = noise({12, 30}, 1);
  std::vector<double> gram(144), products(12);
  const auto dot = [&](uint64_t a, uint64_t b) {
    double sum = 0;
    for (uint64_t c = 0; c < 30; ++c) sum += patterns.view().row(a)[c] * patterns.view().row(b)[c];
    return sum;
  };
  for (uint64_t a = 0; a < 12; ++a) {
    for (uint64_t b = 0; b < 12; ++b) gram[a * 12 + b] = dot(a, b);
    products[a] = 2 * dot(a, 3) - 5 * dot(a, 9);
  }
  MatchingPursuit pursuit(gram, 12, 5);
  pursuit.run(products);
  for (size_t i = 0; i < pursuit.chosen().size(); ++i) {
    const uint64_t k = pursuit.chosen()[i];
    EXPECT_NEAR(pursuit.factors()[i], k == 3 ? 2 : k == 9 ? -5 : 0, 1e-6);
  }
  EXPECT_EQ(pursuit.chosen()[0], 9u);
  // Patterns that come twice are taken once, and nothing is made of nothing.
  const std::vector<double> same(16, 1.0), ones(4, 2.0), none(4, 0.0);
  MatchingPursuit twice(same, 4, 4);
  twice.run(ones);
  ASSERT_EQ(twice.chosen().size(), 1u);
  EXPECT_NEAR(twice.factors()[0], 2, 1e-12);
  twice.run(none);
  EXPECT_TRUE(twice.chosen().empty());
}

TEST(Dictionary, IsBetterThanALowRankOfAsManyBytes) {
  const Matrix w = of_patterns({128, 48}, 1);
  const Metric metric;
  const Task task{"w", w.view(), metric, {}, 1};
  const auto e = parse("sparse(3:24) * rank(24) * dense(f16)");
  const Fitted fitted = dictionary_fitter(e)(task);
  EXPECT_EQ(fitted.form->expression(), e);
  EXPECT_NEAR(fitted.error, error_of(metric, w, *fitted.form), 1e-6 * fitted.error);
  EXPECT_LT(fitted.error, 0.7 * error_of(metric, w, *encode(e, w.view())));
  const Fitted low = low_rank_fitter(parse("lowrank(12)"), {.damping = 0})(task);
  EXPECT_LE(bits(*fitted.form), bits(*low.form) + 512);  // rows of places begin at words
  EXPECT_LT(fitted.error, 0.5 * low.error);
  // On eight bits as well.
  const auto coded = parse("sparse(12.5%, values=uniform(8)) * rank(24) * uniform(8, group=row)");
  const Fitted eight = dictionary_fitter(coded)(task);
  EXPECT_LT(bits(*eight.form), 0.9 * bits(*fitted.form));
  EXPECT_LT(eight.error, 1.2 * fitted.error);
}

// What is nearest by the metric and not in the matrix.
TEST(Dictionary, FitsTheOutputs) {
  const Matrix w = of_patterns({128, 48}, 1);
  const Metric seen = metric_of(correlated(2000, 48, 10)),
               other = metric_of(correlated(500, 48, 20)), plain;
  const auto e = parse("sparse(6:24) * rank(24) * dense(f16)");
  const Fitted ours = dictionary_fitter(e, {.damping = 0.01})({"w", w.view(), seen, {}, 1});
  const Fitted blind = dictionary_fitter(e)({"w", w.view(), plain, {}, 1});
  EXPECT_LT(error_of(other, w, *ours.form), 0.7 * error_of(other, w, *blind.form));
}

TEST(Dictionary, AnyShapeSingularAndDead) {
  for (const Shape shape : {Shape{1, 1}, {1, 20}, {20, 1}, {10, 12}, {0, 4}}) {
    const Matrix w = noise(shape, 5, 0.02f), zeros(shape);
    const Metric few = metric_of(correlated(2, shape.cols, 6)), squared;
    const Metric nothing = Metric::diagonal(std::vector<double>(shape.cols, 0.0));
    const std::vector<double> outputs(shape.rows, 0.5);
    for (const Metric* metric : {&few, &nothing, &squared}) {
      for (const Matrix* m : {&w, &zeros}) {
        for (const char* text :
             {"sparse(2:5) * rank(5) * dense(f16)", "sparse(30:30) * rank(30) * uniform(8)"}) {
          const Task task{"w", m->view(), *metric, outputs, 1};
          const Fitted f = dictionary_fitter(parse(text))(task);
          EXPECT_EQ(f.form->shape(), shape);
          EXPECT_LE(f.error, measured(task, encode(parse(text), m->view())).error) << text;
        }
      }
    }
  }
}

TEST(Dictionary, IsTheSameOnAllThreads) {
  const Matrix w = of_patterns({90, 40}, 3);
  const Metric metric = metric_of(correlated(500, 40, 10));
  const auto of = [&](int threads) {
    const auto e = parse("sparse(4:30) * rank(30) * dense(f16)");
    return write(*dictionary_fitter(e, {.rounds = 4})({"w", w.view(), metric, {}, threads}).form);
  };
  EXPECT_EQ(of(1), of(2));
}

TEST(Dictionary, RefusesOtherProducts) {
  for (const char* text :
       {"dense(f16)", "dense(f16) * sparse(2:4)", "sparse(2:4) * rank(5) * dense(f16)",
        "sparse(0%) * rank(4) * dense(f16)", "sparse(2:4) * dense(f16)"}) {
    EXPECT_NE(refusal([&] { dictionary_fitter(parse(text)); }), "") << text;
  }
}

}  // namespace
}  // namespace pith::fit
