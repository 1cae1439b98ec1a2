// What is kept, and with which values.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>

#include "pith/fit/feedback.h"
#include "pith/fit/masks.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

form::FormPtr pruned(const char* text, const Matrix& w, const Metric& metric,
                     ColumnOrder order = ColumnOrder::kNatural, double damping = 0.01) {
  return ErrorFeedback(metric, {order, damping, 1}).encode(parse(text), w.view()).form;
}

uint64_t count(const form::Form& form) {
  const Matrix m = decode(form);
  return static_cast<uint64_t>(std::ranges::count_if(m.values, [](float v) { return v != 0; }));
}

TEST(SparseFeedback, LeavesLessErrorThanTheLargest) {
  const Matrix w = noise({70, 200}, 1, 0.02f);
  const Metric seen = metric_of(correlated(2000, 200, 10)),
               other = metric_of(correlated(500, 200, 20));
  for (const char* text :
       {"sparse(50%)", "sparse(2:4)", "sparse(4:8)", "sparse(20%)",
        "sparse(2:4, values=uniform(4, group=20))", "sparse(50%, values=uniform(3, group=64))",
        "sparse(50%, values=uniform(4, group=32) > rans)"}) {
    const auto form = pruned(text, w, seen), plain = encode(parse(text), w.view());
    EXPECT_EQ(form->expression(), plain->expression());
    EXPECT_EQ(count(*form) <= count(*plain) + 1, true) << text;
    const double magnitude = error_of(other, w, *plain);
    EXPECT_LT(error_of(other, w, *form), 0.3 * magnitude) << text;
    if (parse(text).argument("values") == nullptr) {
      const Fitted wanda = mask_fitter(parse(text), Score::kActivation)({"w", w.view(), seen});
      EXPECT_LT(error_of(other, w, *form), 0.7 * error_of(other, w, *wanda.form)) << text;
    }
  }
}

// Pruned and quantized together, the second pass makes up for both.
TEST(SparseFeedback, QuantizesWithFeedback) {
  const Matrix w = noise({64, 192}, 1, 0.02f);
  const Metric metric = metric_of(correlated(2000, 192, 10));
  const auto both = pruned("sparse(2:4, values=uniform(3, group=32))", w, metric);
  const Matrix only = decode(*pruned("sparse(2:4, values=f32)", w, metric));
  std::vector<uint8_t> keep;
  for (const float v : only.values) keep.push_back(v != 0);
  const auto after =
      form::SparseFit(parse("sparse(2:4, values=uniform(3, group=32))"), w.shape, keep)
          .form(only.view());
  EXPECT_LT(error_of(metric, w, *both), 0.6 * error_of(metric, w, *after));
}

TEST(SparseFeedback, TheFitterTakesTheBestChoice) {
  const Matrix w = noise({64, 96}, 1, 0.02f);
  const Metric metric = metric_of(correlated(2000, 96, 10));
  const Task task{"w", w.view(), metric, {}, 1};
  for (const char* text : {"sparse(30%)", "sparse(2:4)", "sparse(2:4, values=uniform(4))"}) {
    const Fitted fitted = sparse_fitter(parse(text), {ColumnOrder::kNatural, 0.01, 1})(task);
    EXPECT_NEAR(fitted.error, error_of(metric, w, *fitted.form), 1e-9 * fitted.error);
    EXPECT_LE(fitted.error, error_of(metric, w, *pruned(text, w, metric))) << text;
    EXPECT_EQ(fitted.form->expression(), encode(parse(text), w.view())->expression());
  }
}

TEST(SparseFeedback, AnyShapeAndPattern) {
  for (const Shape shape : {Shape{1, 1}, {1, 70}, {70, 1}, {3, 129}, {65, 300}, {0, 7}}) {
    const Matrix w = noise(shape, 2, 0.02f);
    const Metric metric = metric_of(correlated(400, shape.cols, 3));
    for (const char* text :
         {"sparse(30%)", "sparse(0%)", "sparse(100%)", "sparse(2:4)", "sparse(3:7)",
          "sparse(100:200)", "sparse(1:1000)", "sparse(4:4)",
          "sparse(3%, values=uniform(4, group=9))", "sparse(3:7, values=uniform(4, group=tensor))",
          "sparse(50%, values=uniform(2, group=row, scales=uniform(4)))"}) {
      const auto form = pruned(text, w, metric);
      const auto plain = encode(parse(text), w.view());
      EXPECT_EQ(form->shape(), shape);
      EXPECT_LE(error_of(metric, w, *form), 1.02 * error_of(metric, w, *plain) + 1e-12)
          << text << " " << shape.rows << " x " << shape.cols;
      EXPECT_EQ(write(*form::read(write(*form), nullptr)), write(*form));
    }
    const auto ordered = pruned("sparse(30%)", w, metric, ColumnOrder::kActivation);
    EXPECT_EQ(count(*ordered), form::count_of(0.3, shape.size()));
  }
}

TEST(SparseFeedback, IsTheSameOnAllThreadsAndInstructionSets) {
  const Matrix w = noise({150, 300}, 2, 0.02f);
  const Metric metric = metric_of(correlated(600, 300, 3));
  for (const char* text : {"sparse(30%)", "sparse(2:4, values=uniform(4))"}) {
    const Bytes wanted = write(*pruned(text, w, metric));
    for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
      hwy::SetSupportedTargetsForTest(left & -left);
      const ErrorFeedback feedback(metric, {ColumnOrder::kNatural, 0.01, 2});
      EXPECT_EQ(write(*feedback.encode(parse(text), w.view()).form), wanted) << text;
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(SparseFeedback, WithoutSecondMomentsIsByImportance) {
  const Matrix w = noise({20, 64}, 2, 0.02f);
  EXPECT_EQ(write(*pruned("sparse(2:4)", w, Metric())),
            write(*encode(parse("sparse(2:4)"), w.view())));
  std::vector<double> importance(64, 1e-4);
  for (size_t c = 0; c < 64; c += 4) importance[c] = 1;
  const Matrix got = decode(*pruned("sparse(1:4)", w, Metric::diagonal(importance)));
  for (uint64_t r = 0; r < 20; ++r) {
    uint64_t first = 0;
    for (uint64_t c = 0; c < 64; c += 4) first += got.view().row(r)[c] != 0;
    EXPECT_GE(first, 14u);
  }
}

TEST(SparseFeedback, RefusesWhatItCannotFit) {
  Matrix w = noise({4, 8}, 2);
  const Metric metric = metric_of(correlated(50, 8, 3));
  for (const char* text : {"sparse(50%, block=2)", "sparse(50%, pattern=rows)"}) {
    EXPECT_NE(refusal([&] { pruned(text, w, metric); }).find("one by one"), std::string::npos);
  }
  EXPECT_NE(refusal([&] {
              pruned("sparse(2:4)", w, metric, ColumnOrder::kActivation);
            }).find("natural order"),
            std::string::npos);
  w.row(1)[2] = INFINITY;
  EXPECT_EQ(refusal([&] { pruned("sparse(50%)", w, metric); }), "sparse: row 1, column 2 is inf");
}

TEST(Masks, ScoresDecide) {
  Matrix w({2, 4});
  w.values = {1, 2, 3, 4, 10, 20, 30, 40};
  const Metric metric = Metric::diagonal({100, 1, 1, 1});
  const Task task{"w", w.view(), metric};
  const auto keep = [&](const char* text, Score score, Among among) {
    return kept(form::sparse_options(parse(text)), w.shape, scores(score, task), among);
  };
  using Mask = std::vector<uint8_t>;
  EXPECT_EQ(keep("sparse(50%)", Score::kMagnitude, Among::kAll), (Mask{0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(keep("sparse(50%)", Score::kMagnitude, Among::kRow), (Mask{0, 0, 1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(keep("sparse(1:2)", Score::kActivation, Among::kAll), (Mask{1, 0, 0, 1, 1, 0, 0, 1}));
  EXPECT_EQ(keep("sparse(2:4)", Score::kActivation, Among::kAll), (Mask{1, 0, 0, 1, 1, 0, 0, 1}));
  // Rows of one direction are alike in units of their norms.
  EXPECT_EQ(keep("sparse(25%)", Score::kNormalized, Among::kAll), (Mask{1, 0, 0, 0, 1, 0, 0, 0}));
}

TEST(Masks, BlocksGoByTheirMean) {
  Matrix w({2, 8});
  w.values = {1, 1, 1, 1, 3, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2};
  const Metric metric;
  const Task task{"w", w.view(), metric, {}, 1};
  const auto keep = [&](const char* text, Among among) {
    return kept(form::sparse_options(parse(text)), w.shape, scores(Score::kRemoval, task), among);
  };
  using Mask = std::vector<uint8_t>;
  EXPECT_EQ(keep("sparse(50%, block=4)", Among::kAll),
            (Mask{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(keep("sparse(25%, block=4)", Among::kAll),
            (Mask{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(keep("sparse(50%, block=4)", Among::kRow),
            (Mask{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}));
}

// What others can make up for goes first, however large.
TEST(Masks, RemovalKnowsWhatOthersMakeUpFor) {
  Matrix x({400, 8});
  const Matrix from = noise({400, 7}, 4);
  for (uint64_t t = 0; t < 400; ++t) {
    for (uint64_t c = 0; c < 8; ++c) x.row(t)[c] = from.view().row(t)[c == 7 ? 6 : c];
  }
  Matrix w({1, 8});
  std::ranges::fill(w.values, 1.0f);
  w.values[7] = 1.2f;  // the same input as column 6
  const Metric metric = metric_of(x);
  const auto cost = scores(Score::kRemoval, {"w", w.view(), metric, {}, 1});
  EXPECT_LT(cost[7], 0.2f * cost[0]);
  const auto size = scores(Score::kActivation, {"w", w.view(), metric, {}, 1});
  EXPECT_GT(size[7], size[0]);
}

TEST(SparseFitter, BlocksMakeUpForThoseThatGo) {
  const Matrix w = noise({64, 96}, 1, 0.02f);
  const Metric seen = metric_of(correlated(2000, 96, 10)),
               other = metric_of(correlated(500, 96, 20));
  const Task task{"w", w.view(), seen, {}, 1};
  for (const char* text : {"sparse(50%, block=16)", "sparse(50%, block=8, values=f32)",
                           "sparse(50%, block=16, values=uniform(4, group=16, zero=true))"}) {
    const Fitted ours = sparse_fitter(parse(text), {.damping = 0.01})(task);
    const Fitted masked = mask_fitter(parse(text), Score::kRemoval)(task);
    EXPECT_EQ(bits(*ours.form), bits(*masked.form));
    EXPECT_LT(error_of(other, w, *ours.form), 0.5 * error_of(other, w, *masked.form)) << text;
    EXPECT_LE(ours.error, error_of(seen, w, *encode(parse(text), w.view())));
  }
}

TEST(Masks, NormalizedKeepsSmallRowsAlive) {
  Matrix w = noise({40, 60}, 3, 0.02f);
  for (uint64_t r = 0; r < 20; ++r) {
    for (float& v : w.row(r)) v *= 0.01f;
  }
  const Metric metric = metric_of(correlated(300, 60, 4));
  const auto of = [&](Score score) {
    const Fitted f = mask_fitter(parse("sparse(50%)"), score)({"w", w.view(), metric});
    Matrix m = decode(*f.form);
    return std::count_if(m.values.begin(), m.values.begin() + 20 * 60,
                         [](float v) { return v != 0; });
  };
  EXPECT_LT(of(Score::kActivation), 100);
  EXPECT_GT(of(Score::kNormalized), 400);
}

// Least squares over what is kept: nothing else with these places is better.
TEST(Masks, RefittedIsTheBestOfItsPlaces) {
  const Matrix w = noise({9, 24}, 5, 0.02f);
  const Metric metric = metric_of(correlated(400, 24, 6));
  const Task task{"w", w.view(), metric, {}, 1};
  const auto keep =
      kept(form::sparse_options(parse("sparse(40%)")), w.shape, scores(Score::kActivation, task));
  const Matrix best = refitted(task, keep, w.view(), {200, 0});
  const double least = error(task, best.view());
  for (uint64_t i = 0; i < w.values.size(); ++i) {
    if (keep[i] == 0) {
      EXPECT_EQ(best.values[i], 0);
    }
  }
  Matrix masked = w;
  for (uint64_t i = 0; i < w.values.size(); ++i) {
    if (keep[i] == 0) masked.values[i] = 0;
  }
  EXPECT_LT(least, 0.8 * error(task, masked.view()));
  for (uint64_t i = 0; i < w.values.size(); i += 7) {
    if (keep[i] == 0) continue;
    for (const float step : {-1e-3f, 1e-3f}) {
      Matrix other = best;
      other.values[i] += step;
      EXPECT_GT(error(task, other.view()), least);
    }
  }
}

TEST(Masks, RefitNeverMakesWorse) {
  for (const Shape shape : {Shape{1, 1}, {1, 40}, {40, 1}, {30, 80}, {0, 4}}) {
    const Matrix w = noise(shape, 5, 0.02f);
    for (const uint64_t tokens : {3, 200}) {
      const Metric metric = metric_of(correlated(tokens, shape.cols, 6));
      const Task task{"w", w.view(), metric, {}, 1};
      for (const char* text : {"sparse(50%)", "sparse(2:4)"}) {
        for (const Score score : {Score::kMagnitude, Score::kActivation, Score::kNormalized}) {
          const auto plain = mask_fitter(parse(text), score)(task);
          const auto refit = mask_fitter(parse(text), score, Among::kAll, true)(task);
          EXPECT_LE(refit.error, plain.error);
          EXPECT_EQ(bits(*refit.form), bits(*plain.form));
        }
      }
    }
  }
}

TEST(Masks, RefusesWhatDoesNotFit) {
  Matrix w = noise({4, 8}, 2);
  const Metric metric;
  EXPECT_NE(
      refusal([&] {
        mask_fitter(parse("sparse(50%, block=3)"), Score::kMagnitude)({"w", w.view(), metric});
      }),
      "");
  EXPECT_NE(refusal([&] { mask_fitter(parse("dense(f16)"), Score::kMagnitude); }), "");
  w.row(3)[1] = NAN;
  EXPECT_EQ(refusal([&] {
              scores(Score::kMagnitude, {"w", w.view(), metric});
            }),
            "w: row 3, column 1 is nan");
}

}  // namespace
}  // namespace pith::fit
