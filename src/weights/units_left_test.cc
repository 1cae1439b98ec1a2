#include "pith/weights/units_left.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/weights/part_study.h"
#include "pith/weights/removal_meter.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using model::Reduction;
using model::testing::logits_of;
using testing::tiny;

// What a method sees of the tiny model.
struct Given {
  std::unique_ptr<model::WeightSource> source = model::open_weights(tiny().folder.path());
  CalibrationText text =
      calibration_text(*tiny().model, default_calibration_text(), {.tokens = 256, .window = 64});
  Reducing reducing{.source = *source, .model = *tiny().model, .text = text, .threads = 2};
  model::LanguageModel model_of(const Reduction& r) const {
    return model::make_model(model::ReducedWeights(*source, r));
  }
};

// Of 4 layers of 2 groups and 96 neurons.
UnitsLeft some() {
  UnitsLeft left = all_units(tiny().model->config());
  left[0].groups = {1};
  std::erase_if(left[1].neurons, [](uint32_t n) { return n % 3 == 0; });
  left[2] = {};
  left[3].neurons.clear();
  return left;
}

TEST(UnitsLeft, AreAsManyElementsAsTheModelThatTheyMake) {
  const Given g;
  const model::DecoderConfig& c = tiny().model->config();
  const auto of_layers = [](const model::LanguageModel& m) {
    uint64_t all = 0;
    for (const model::DecoderLayer& l : m.weights().layers) {
      if (l.has_attention()) {
        for (const model::Linear* x : {&l.q, &l.k, &l.v, &l.output})
          all += x->weight->shape().size();
      }
      if (!l.feed_forward) continue;
      const model::FeedForward& f = *l.feed_forward;
      for (const model::Linear* x : {&f.gate, &f.up, &f.down}) all += x->weight->shape().size();
    }
    return all;
  };
  EXPECT_EQ(elements(c, all_units(c)), of_layers(*tiny().model));
  EXPECT_EQ(elements(c, some()), of_layers(g.model_of(leaving(c, some()))));
  EXPECT_EQ(all_units(testing::tiny_mixture().model->config())[0].neurons.size(), 1u);
  EXPECT_THROW(leaving(c, UnitsLeft(3)), Error);
}

TEST(UnitsLeft, WhatIsLeftMakesUpForTheRest) {
  const Given g;
  UnitsLeft left = all_units(tiny().model->config());
  for (LayerUnits& l : left) std::erase_if(l.neurons, [](uint32_t n) { return n % 2 == 0; });
  const RemovalMeter meter(*g.source, *tiny().model, g.text, 4, 2);
  const double plain = meter.divergence(leaving(tiny().model->config(), left));
  EXPECT_LT(meter.divergence(making_up(g.reducing, left, 0.01)), 0.9 * plain);
}

TEST(UnitsLeft, TwoReductionsAreOne) {
  const Given g;
  const model::DecoderConfig& c = tiny().model->config();
  UnitsLeft first = all_units(c), second;
  std::erase_if(first[1].neurons, [](uint32_t n) { return n < 40; });
  const Reduction once = making_up(g.reducing, first, 0.1);
  const model::ReducedWeights half(*g.source, once);
  const model::LanguageModel between = model::make_model(half);
  second = all_units(between.config());
  second[0].groups = {1};
  second[1].groups = {0};
  std::erase_if(second[1].neurons, [](uint32_t n) { return n % 2 == 1; });
  second[3].neurons.clear();
  const Reduction then = leaving(between.config(), second);
  const auto twice = logits_of(model::make_model(model::ReducedWeights(half, then)));
  EXPECT_EQ(logits_of(g.model_of(composed(c, once, then))), twice);
  EXPECT_EQ(composed(c, once, then).layers[1].units->front(), 40u);
  Reduction wrong{std::vector<model::ReducedLayer>(4)};
  wrong.layers[1].units = {56};
  EXPECT_THROW(composed(c, once, wrong), Error);
  EXPECT_THROW(composed(c, once, {}), Error);
}

TEST(RemovalMeter, MeasuresWhatTheWholeModelWouldGive) {
  const Given g;
  const model::DecoderConfig& c = tiny().model->config();
  RemovalMeter meter(*g.source, *tiny().model, g.text, 2, 2);
  EXPECT_NEAR(meter.divergence(leaving(c, all_units(c))), 0, 1e-6);
  const Reduction one = without_parts(c, PartKind::kAttention, {2});
  const Reduction two = without_parts(c, PartKind::kLayer, {2, 3});
  const double lost = meter.divergence(one), more = meter.divergence(two);
  EXPECT_GT(lost, 1e-4);
  EXPECT_GT(more, lost);
  EXPECT_EQ(RemovalMeter(*g.source, *tiny().model, g.text, 2, 1).divergence(two), more);
  // Beside another one nothing changes but the time it takes.
  meter.begin_with(one);
  EXPECT_EQ(meter.divergence(one), lost);
  EXPECT_EQ(meter.divergence(two), more);
  EXPECT_THROW(meter.divergence({}), Error);
  EXPECT_THROW(RemovalMeter(*g.source, *tiny().model, g.text, 0, 1), Error);
}

}  // namespace
}  // namespace pith::weights
