#include "pith/weights/routing.h"

#include <gtest/gtest.h>

#include <cmath>

#include "held_out.h"
#include "pith/base/error.h"
#include "pith/model/session.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using model::ExpertThresholds;
using testing::TinyMixture;

CalibrationText text_of(const TinyMixture& m) {
  return calibration_text(*m.model, default_calibration_text(), {.tokens = 256, .window = 64});
}

TEST(Routing, CountsWhatLayersDo) {
  const TinyMixture& m = testing::tiny_mixture();
  const CalibrationText text = text_of(m);
  const RoutingStudy study = study_routing(*m.model, text, text.count(), 2);
  ASSERT_EQ(study.size(), 4u);
  for (const LayerRouting& layer : study) {
    ASSERT_EQ(layer.experts.size(), 5u);
    double visits = 0, weight = 0;
    for (const ExpertUse& e : layer.experts) {
      EXPECT_GT(e.frequency, 0);
      visits += e.frequency;
      weight += e.frequency * e.weight;
    }
    EXPECT_NEAR(visits, 2, 1e-12);
    EXPECT_NEAR(weight, 1, 1e-6);  // Mixtral's weights add up to 1
    EXPECT_EQ(layer.ratios.size(), text.windows.size());
    EXPECT_EQ(layer.importance.size(), text.windows.size());
    for (const float r : layer.ratios) EXPECT_TRUE(r > 0 && r <= 1) << r;
    // The first of a text sees nobody but itself.
    EXPECT_GT(layer.importance[0], layer.importance[1]);
  }
  EXPECT_NEAR(experts_per_token(study, {}), 2, 1e-12);
  EXPECT_THROW(study_routing(*m.model, text, 0), Error);
}

TEST(Routing, OfAModelWithoutExpertsIsEmpty) {
  const CalibrationText text = calibration_text(*testing::tiny().model, default_calibration_text(),
                                                {.tokens = 64, .window = 64});
  const RoutingStudy study = study_routing(*testing::tiny().model, text, 1);
  for (const LayerRouting& layer : study) EXPECT_TRUE(layer.experts.empty());
  EXPECT_EQ(experts_per_token(study, {}), 0);
  for (const ExpertThresholds& t : thresholds(study, {.share = 0.5})) {
    EXPECT_EQ(t, ExpertThresholds());
  }
}

TEST(Routing, ThresholdsLeaveOutTheSharesThatAreAskedFor) {
  const TinyMixture& m = testing::tiny_mixture();
  const CalibrationText text = text_of(m);
  const RoutingStudy study = study_routing(*m.model, text, text.count(), 2);
  for (const double share : {0.0, 0.25, 0.5, 1.0}) {
    for (const double whole : {0.0, 0.1, 1.0}) {
      const auto t = thresholds(study, {.share = share, .kept_whole = whole});
      const double left = experts_per_token(study, t);
      if (whole == 0) {
        EXPECT_NEAR(left, 2 - share, 0.01) << share;
      } else if (whole == 1) {
        EXPECT_NEAR(left, 2, 1e-12) << share;
      }
      EXPECT_GE(left, 2 - share - 0.01);
    }
  }
  EXPECT_THROW(thresholds(study, {.share = 1.5}), Error);
  EXPECT_THROW(thresholds(study, {.share = 0.5, .kept_whole = std::nan("")}), Error);
}

TEST(Routing, ArchivesObeyTheConfig) {
  const TinyMixture& m = testing::tiny_mixture();
  const RoutingStudy study = study_routing(*m.model, text_of(m), 2);
  const auto t = thresholds(study, {.share = 0.4, .kept_whole = 0.05});
  const model::testing::Folder out;
  const auto path = out.path() / "m.pith";
  archive::write_archive(with_thresholds(m.inputs(), t), path, {.threads = 2});
  const model::LanguageModel loaded = model::load_model(path);
  EXPECT_EQ(loaded.config().expert_thresholds, t);
  EXPECT_EQ(testing::some_logits(loaded), testing::some_logits(with_weights(*m.model, {}, t)));
  EXPECT_NE(testing::some_logits(loaded), testing::some_logits(*m.model));
  const std::filesystem::path alone = m.folder.path() / "model.safetensors";
  EXPECT_THROW(with_thresholds(archive::expand_inputs(std::span(&alone, 1)), t), Error);
}

}  // namespace
}  // namespace pith::weights
