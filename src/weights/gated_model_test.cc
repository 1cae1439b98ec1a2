#include "gated_model.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using testing::tiny;

const std::vector<std::string> kNames = {"model.layers.0.self_attn.q_proj.weight",
                                         "model.embed_tokens.weight",
                                         "model.layers.2.mlp.down_proj.weight"};

struct Gated {
  CalibrationText text =
      calibration_text(*tiny().model, default_calibration_text(), {.tokens = 128, .window = 32});
  GatedModel model{*tiny().model, text, kNames, 2};

  budget::Gates gates(float value) const {
    budget::Gates out;
    for (size_t i = 0; i < kNames.size(); ++i) out.emplace_back(model.directions(i), value);
    return out;
  }
  double loss(const budget::Gates& gates, GatedModel::Gradient& gradient) const {
    return model.loss(gates, 1, 2, gradient);
  }
};

TEST(GatedModel, HasTheDirectionsOfLayersMatrices) {
  const Gated gated;
  EXPECT_EQ(gated.model.directions(0), 64u);
  EXPECT_EQ(gated.model.directions(1), 0u);  // the embedding
  EXPECT_EQ(gated.model.directions(2), 64u);
}

TEST(GatedModel, IsTheModelItselfWhereGatesAreOpen) {
  const Gated gated;
  GatedModel::Gradient open, none;
  const double with = gated.loss(gated.gates(1), open);
  const GatedModel nothing(*tiny().model, gated.text, {}, 2);
  EXPECT_NEAR(with, nothing.loss({}, 1, 2, none), 1e-4 * with);
  EXPECT_EQ(open.size(), 3u);
  EXPECT_TRUE(open[1].empty());
}

TEST(GatedModel, DerivativesAreThoseOfTheLoss) {
  const Gated gated;
  budget::Gates gates = gated.gates(0.8F);
  GatedModel::Gradient gradient, other;
  gated.loss(gates, gradient);
  constexpr float kStep = 0.05F;
  for (const size_t matrix : {0, 2}) {
    // Of the strongest directions, where differences are far above rounding.
    for (const size_t k : {0, 1, 3}) {
      float& gate = gates[matrix][k];
      gate = 0.8F + kStep;
      const double more = gated.loss(gates, other);
      gate = 0.8F - kStep;
      const double less = gated.loss(gates, other);
      gate = 0.8F;
      const double slope = (more - less) / (2 * kStep);
      EXPECT_NEAR(gradient[matrix][k], slope, 0.05 * std::abs(slope) + 2e-5) << matrix << " " << k;
    }
  }
}

TEST(GatedModel, RefusesOtherNumbersOfGates) {
  const Gated gated;
  GatedModel::Gradient gradient;
  budget::Gates gates = gated.gates(1);
  gates[2].pop_back();
  EXPECT_THROW(gated.loss(gates, gradient), Error);
  gates.pop_back();
  EXPECT_THROW(gated.loss(gates, gradient), Error);
}

}  // namespace
}  // namespace pith::weights
