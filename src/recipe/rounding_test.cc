// Rounding to nearest beside what makes up for it.
#include <gtest/gtest.h>

#include "pith/base/random.h"
#include "pith/fit/fitter.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

constexpr uint64_t kRows = 48, kColumns = 96;

form::Matrix random_matrix(form::Shape shape, uint64_t seed) {
  form::Matrix m(shape);
  for (uint64_t i = 0; i < shape.size(); ++i) {
    m.values[i] = static_cast<float>(random_unit(seed, i) + random_unit(seed + 1, i) - 1);
  }
  return m;
}

// Neighbours go together, as in activations of models.
fit::Metric correlated_inputs() {
  form::Matrix x = random_matrix({1000, kColumns}, 7);
  for (uint64_t t = 0; t < x.shape.rows; ++t) {
    for (uint64_t c = 1; c < kColumns; ++c) x.row(t)[c] += 0.9f * x.row(t)[c - 1];
  }
  fit::SecondMoment moment(kColumns);
  moment.add(x.view(), 1);
  return fit::Metric::of(std::move(moment));
}

TEST(Rounding, TakesTheBytesOfErrorFeedbackAndLosesMore) {
  const form::Matrix weights = random_matrix({kRows, kColumns}, 1);
  const fit::Metric inputs = correlated_inputs();
  const auto fitted = [&](std::string_view name, const std::string& bits) {
    Plan plan;
    apply(find_recipe(name), {{"bits", bits}, {"group", "32"}}, plan);
    EXPECT_EQ(plan.calibrated, name != "rtn");
    return plan.candidates.at(0).fitter({"w", weights.view(), inputs});
  };
  double before = 0;
  for (const char* bits : {"8", "4", "2"}) {
    const fit::Fitted nearest = fitted("rtn", bits), fed = fitted("gptq", bits);
    EXPECT_EQ(form::to_string(nearest.form->expression()), form::to_string(fed.form->expression()));
    EXPECT_EQ(form::bits(*nearest.form), form::bits(*fed.form));
    EXPECT_GT(nearest.error, 1.2 * fed.error) << bits;
    EXPECT_GT(nearest.error, 4 * before) << bits;
    before = nearest.error;
  }
}

}  // namespace
}  // namespace pith::recipe
