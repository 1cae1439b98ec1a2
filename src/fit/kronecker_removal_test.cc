#include "pith/fit/kronecker_removal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pith/fit/masks.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

Fitted fitted(const char* text, const Task& task, const Metric& outputs,
              const KroneckerOptions& options = {}) {
  return kronecker_fitter(
      parse(text), [&](const Task&) { return outputs; }, options)(task);
}

struct Layer {
  Matrix w;
  Metric inputs, outputs;
  Task task() const { return {"w", w.view(), inputs, {}, 1}; }
};

Layer layer(Shape shape, uint32_t seed) {
  return {noise(shape, seed, 0.02f), metric_of(correlated(900, shape.cols, seed + 1)),
          metric_of(correlated(700, shape.rows, seed + 3))};
}

TEST(KroneckerRemoval, ErrorIsThatOfRowsWhereOutputsAreApart) {
  const Layer l = layer({10, 16}, 1);
  const Matrix other = noise(l.w.shape, 9, 0.02f);
  const std::vector<double> g = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const Task task{"w", l.w.view(), l.inputs, g, 1};
  const double wanted = error(task, other.view());
  EXPECT_NEAR(kronecker_error(Metric::diagonal(g), l.inputs, l.w.view(), other.view()), wanted,
              1e-9 * wanted);
}

TEST(KroneckerRemoval, CostsAreWhatOneRemovalLeaves) {
  const Layer l = layer({8, 12}, 2);
  const KroneckerOptions options{1e-12, 1, true};
  const RemovalCosts costs = removal_costs(l.task(), l.outputs, options);
  const auto cheapest_row = std::ranges::min(costs.rows),
             cheapest_column = std::ranges::min(costs.columns);
  const Fitted row =
                   fitted("sparse(87.5%, pattern=rows, values=f32)", l.task(), l.outputs, options),
               column = fitted("sparse(0.9166667, pattern=columns, values=f32)", l.task(),
                               l.outputs, options);
  EXPECT_NEAR(row.error / 2, cheapest_row, 1e-3 * cheapest_row);
  EXPECT_NEAR(column.error / 2, cheapest_column, 1e-3 * cheapest_column);
  double least = INFINITY;
  for (uint64_t i = 0; i < 96; ++i)
    least = std::min(least, costs.element(l.w.view(), i / 12, i % 12));
  const Fitted element = fitted("sparse(0.98958, values=f32)", l.task(), l.outputs, options);
  EXPECT_NEAR(element.error / 2, least, 0.01 * least);
}

TEST(KroneckerRemoval, UpdatesAndShotsAreWorthIt) {
  const Layer l = layer({40, 60}, 3);
  for (const char* text : {"sparse(75%, pattern=rows)", "sparse(75%, pattern=columns)",
                           "sparse(50%)", "sparse(2:4)"}) {
    const double plain = kronecker_error(l.outputs, l.inputs, l.w.view(),
                                         decode(*encode(parse(text), l.w.view())).view());
    const double masked = fitted(text, l.task(), l.outputs, {1e-3, 1, false}).error;
    const double once = fitted(text, l.task(), l.outputs, {1e-3, 1, true}).error;
    const double often = fitted(text, l.task(), l.outputs, {1e-3, 5, true}).error;
    EXPECT_LE(masked, plain) << text;
    EXPECT_LT(once, 0.6 * masked) << text;
    EXPECT_LE(often, 1.02 * once) << text;
  }
}

// Activations alone do not know which outputs matter.
TEST(KroneckerRemoval, GradientsOfOutputsAreWorthIt) {
  const Layer l = layer({48, 64}, 4);
  for (const char* text : {"sparse(50%)", "sparse(75%, pattern=columns)"}) {
    const Fitted both = fitted(text, l.task(), l.outputs, {1e-3, 1, true});
    const Fitted inputs = fitted(text, l.task(), Metric(), {1e-3, 1, true});
    EXPECT_LT(both.error,
              0.7 * kronecker_error(l.outputs, l.inputs, l.w.view(), decode(*inputs.form).view()))
        << text;
  }
}

TEST(KroneckerRemoval, AnyShapeSingularAndDead) {
  for (const Shape shape : {Shape{1, 1}, {1, 9}, {9, 1}, {12, 7}, {0, 3}}) {
    const Matrix w = noise(shape, 5, 0.02f);
    const Metric few = metric_of(correlated(2, shape.cols, 6));
    const Metric nothing = Metric::diagonal(std::vector<double>(shape.cols, 0.0));
    for (const Metric* inputs : {&few, &nothing}) {
      const Task task{"w", w.view(), *inputs, {}, 1};
      const Metric outputs = shape.rows > 0 ? metric_of(correlated(2, shape.rows, 7)) : Metric();
      for (const char* text : {"sparse(50%, pattern=rows)", "sparse(50%, pattern=columns)",
                               "sparse(30%)", "sparse(1:2)", "sparse(0%)", "sparse(100%)",
                               "sparse(0%, pattern=rows)", "sparse(100%, pattern=columns)"}) {
        const Fitted f = fitted(text, task, outputs, {1e-2, 2, true});
        EXPECT_EQ(f.form->expression(), encode(parse(text), w.view())->expression());
        EXPECT_TRUE(std::isfinite(f.error));
        EXPECT_LE(f.error, kronecker_error(outputs, *inputs, w.view(),
                                           decode(*encode(parse(text), w.view())).view()))
            << text;
      }
    }
  }
}

TEST(KroneckerRemoval, RefusesWhatDoesNotFit) {
  Layer l = layer({6, 8}, 6);
  const auto none = [](const Task&) { return Metric(); };
  EXPECT_NE(refusal([&] { kronecker_fitter(parse("sparse(50%, block=2)"), none); }), "");
  EXPECT_NE(refusal([&] { kronecker_fitter(parse("uniform(3)"), none); }), "");
  EXPECT_NE(refusal([&] { kronecker_fitter(parse("sparse(50%)"), none, {0.1, 0, true}); }), "");
  EXPECT_NE(refusal([&] { fitted("sparse(50%)", l.task(), Metric::diagonal({1, 2})); }), "");
  l.w.row(1)[1] = NAN;
  EXPECT_EQ(refusal([&] { fitted("sparse(50%)", l.task(), l.outputs); }),
            "w: row 1, column 1 is nan");
}

}  // namespace
}  // namespace pith::fit
