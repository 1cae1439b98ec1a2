// What recipes do to a generated matrix whose inputs are correlated, measured on other inputs than
// they have seen. Test-only.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

#include "pith/fit/quantizers.h"
#include "pith/recipe/registry.h"

namespace pith::recipe::testing {

inline form::Matrix normal(form::Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  form::Matrix m(shape);
  for (float& v : m.values) v = draw(random);
  return m;
}

struct Inputs {
  float shared = 0;  // of 24 directions that channels have in common
  float large = 1;   // times which some channels are larger
};

inline fit::Metric inputs_of(uint64_t columns, const Inputs& like, uint32_t seed) {
  constexpr uint64_t kTokens = 2000, kStrong = 24;
  form::Matrix x = normal({kTokens, columns}, seed);
  const form::Matrix hidden = normal({kTokens, kStrong}, seed + 1),
                     mix = normal({kStrong, columns}, 99);
  for (uint64_t t = 0; t < kTokens; ++t) {
    for (uint64_t c = 0; c < columns; ++c) {
      for (uint64_t k = 0; k < kStrong; ++k) {
        x.row(t)[c] += like.shared * hidden.view().row(t)[k] * mix.view().row(k)[c];
      }
      if (c % 60 == 7) x.row(t)[c] *= like.large;
    }
  }
  fit::SecondMoment moment(columns);
  moment.add(x.view(), 1);
  return fit::Metric::of(std::move(moment));
}

struct MatrixOutcome {
  double error, bits;
  std::string form;
};

class MatrixBench {
 public:
  MatrixBench(form::Matrix weights, const Inputs& like)
      : weights_(std::move(weights)),
        seen_(inputs_of(weights_.shape.cols, like, 10)),
        other_(inputs_of(weights_.shape.cols, like, 20)) {}

  MatrixOutcome of_fitter(const fit::Fitter& fitter) const {
    const fit::Fitted fitted = fitter({"w", weights_.view(), seen_, {}, 1});
    return {
        fit::error(other_, weights_.view(), form::decode(*fitted.form).view(), 1),
        static_cast<double>(form::bits(*fitted.form)) / static_cast<double>(weights_.shape.size()),
        form::to_string(fitted.form->expression())};
  }
  MatrixOutcome of_recipe(std::string_view name, const Values& values = {}) const {
    Plan plan;
    apply(find_recipe(name), values, plan);
    EXPECT_EQ(plan.candidates.size(), 1u);
    EXPECT_EQ(plan.candidates[0].name, name);
    return of_fitter(plan.candidates[0].fitter);
  }

 private:
  form::Matrix weights_;
  fit::Metric seen_, other_;
};

}  // namespace pith::recipe::testing
