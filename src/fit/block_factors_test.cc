#include "pith/fit/block_factors.h"

#include <gtest/gtest.h>

#include "pith/fit/masks.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

Fitted with(const char* text, const Task& task, int rounds = 12) {
  return block_factor_fitter(parse(text), {.rounds = rounds})(task);
}

TEST(BlockFactors, NoTurnRaisesTheLossAndAllLeaveLessThanTheMask) {
  const Matrix w = noise({64, 96}, 1);
  const Metric seen = metric_of(correlated(2000, 96, 10));
  std::vector<double> outputs(64);
  for (size_t r = 0; r < outputs.size(); ++r) outputs[r] = 1 + static_cast<double>(r % 5);
  const Task task{"w", w.view(), seen, outputs, 2};
  double masks = INFINITY;
  for (const Score score : {Score::kActivation, Score::kNormalized}) {
    masks = std::min(masks, mask_fitter(parse("sparse(2:4)"), score)(task).error);
  }
  double before = masks;
  for (const int rounds : {0, 1, 2, 3, 6}) {
    const Fitted fitted = with("blockdiag(16) * sparse(2:4) * blockdiag(16)", task, rounds);
    EXPECT_LE(fitted.error, 1.001 * before) << rounds;  // numbers become f16
    before = fitted.error;
  }
  EXPECT_LT(before, 0.6 * masks);
  EXPECT_NEAR(
      before,
      error(task,
            decode(*with("blockdiag(16) * sparse(2:4) * blockdiag(16)", task, 6).form).view()),
      1e-6 * before);
}

TEST(BlockFactors, WrappersAndValuesAllGain) {
  const Matrix w = noise({64, 96}, 2);
  const Metric seen = metric_of(correlated(2000, 96, 11)),
               other = metric_of(correlated(2000, 96, 40));
  const Task task{"w", w.view(), seen, {}, 2};
  const auto of = [&](const char* text) { return error_of(other, w, *with(text, task).form); };
  const double left = of("blockdiag(16) * sparse(2:4)"), right = of("sparse(2:4) * blockdiag(16)"),
               both = of("blockdiag(16) * sparse(2:4) * blockdiag(16)"),
               wider = of("blockdiag(32) * sparse(2:4) * blockdiag(32)");
  EXPECT_LT(both, left);
  EXPECT_LT(both, right);
  EXPECT_LT(wider, both);
  // Least squares over the same masks, with nothing around them.
  const auto refit = mask_fitter(parse("sparse(2:4)"), Score::kActivation, Among::kRow, true)(task);
  EXPECT_LT(both, 0.9 * error_of(other, w, *refit.form));
}

TEST(BlockFactors, KeepThePattern) {
  const Matrix w = noise({10, 14}, 3);
  const Metric seen = metric_of(correlated(300, 14, 10));
  for (const char* text :
       {"blockdiag(4) * sparse(1:4) * blockdiag(5)", "blockdiag(3) * sparse(30%)",
        "sparse(2:4, values=uniform(8, group=16)) * blockdiag(blocks=3)",
        "blockdiag(64) * sparse(2:4) * blockdiag(64)"}) {
    const Fitted f = with(text, {"w", w.view(), seen, {}, 1});
    EXPECT_EQ(f.form->expression(), encode(parse(text), w.view())->expression()) << text;
    EXPECT_LE(f.error, error_of(seen, w, *encode(parse(text), w.view()))) << text;
  }
}

TEST(BlockFactors, AnyNumberOfThreads) {
  const Matrix w = noise({40, 48}, 4);
  const Metric seen = metric_of(correlated(300, 48, 10));
  const auto bytes = [&](int threads) {
    return write(
        *with("blockdiag(8) * sparse(2:4) * blockdiag(8)", {"w", w.view(), seen, {}, threads})
             .form);
  };
  EXPECT_EQ(bytes(1), bytes(3));
}

TEST(BlockFactors, AnyShapeSingularAndDead) {
  for (const Shape shape : {Shape{1, 1}, {1, 20}, {20, 1}, {10, 12}, {0, 4}, {4, 0}}) {
    const Matrix w = noise(shape, 5, 0.02f), zero(shape);
    const Metric few = shape.cols == 0 ? Metric() : metric_of(correlated(2, shape.cols, 6));
    const Metric nothing = Metric::diagonal(std::vector<double>(shape.cols, 0.0));
    const Metric squared;
    for (const Metric* metric : {&few, &nothing, &squared}) {
      for (const Matrix* m : {&w, &zero}) {
        for (const char* text :
             {"blockdiag(4) * sparse(2:4) * blockdiag(4)", "sparse(25%) * blockdiag(2)"}) {
          const auto plain = encode(parse(text), m->view());
          const Fitted f = with(text, {"w", m->view(), *metric, {}, 1});
          EXPECT_EQ(f.form->shape(), shape);
          EXPECT_LE(f.error, error_of(*metric, *m, *plain)) << text;
        }
      }
    }
  }
}

TEST(BlockFactors, RefuseOtherProducts) {
  for (const char* text :
       {"sparse(2:4)", "blockdiag(4) * blockdiag(4)", "blockdiag(4) * dense(f16)",
        "blockdiag(4) * blockdiag(4) * sparse(2:4)", "sparse(2:4) * sparse(2:4)",
        "blockdiag(4) * sparse(50%, pattern=rows)"}) {
    EXPECT_NE(refusal([&] { block_factor_fitter(parse(text)); }), "") << text;
  }
  Matrix w = noise({4, 6}, 2);
  w.row(1)[0] = NAN;
  const Metric metric;
  EXPECT_EQ(refusal([&] {
              with("blockdiag(2) * sparse(2:4)", {"w", w.view(), metric, {}, 1});
            }),
            "w: row 1, column 0 is nan");
}

}  // namespace
}  // namespace pith::fit
