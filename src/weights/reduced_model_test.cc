#include "pith/weights/reduced_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/fit/unit_removal.h"
#include "pith/weights/part_study.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using model::testing::Folder;
using model::testing::logits_of;
using testing::tiny;

ReducedModel reduced(const Reduce& reduce) {
  const std::filesystem::path folder = tiny().folder.path();
  ReduceOptions options{.size = {.tokens = 256, .window = 64}, .threads = 2, .progress = {}};
  return reduced_model(folder, archive::expand_inputs(std::span(&folder, 1)),
                       default_calibration_text(), reduce, options);
}

// Half of the units, with the rest made up for; in the third layer no attention, in the last one
// group of heads.
model::Reduction mixed(const Reducing& r) {
  model::Reduction out = reduce_units(r, [&](const HiddenUnits& u) -> std::optional<KeptUnits> {
    const fit::UnitMoments moments(u.inputs, u.group, 1e-2, 2);
    if (u.heads && u.layer < 3) return std::nullopt;
    KeptUnits kept{fit::pivoted_units(moments, moments.units() / 2), {}};
    kept.weights = fit::folded(moments, u.weights, kept.kept);
    return kept;
  });
  out.layers[2].heads.emplace();
  out.layers[2].output = {};
  return out;
}

TEST(ReducedModel, AnArchiveOfItRuns) {
  const ReducedModel made = reduced(mixed);
  const Folder out;
  const auto path = out.path() / "m.pith";
  archive::write_archive(made.changed.inputs, path, {.threads = 2});
  const model::LanguageModel read = model::load_model(path);
  EXPECT_EQ(read.config().architecture, model::Architecture::kDeci);
  EXPECT_EQ(read.config().sizes(0), (model::LayerSizes{4, 2, 48}));
  EXPECT_EQ(read.config().sizes(2), (model::LayerSizes{0, 0, 48}));
  EXPECT_EQ(read.config().sizes(3), (model::LayerSizes{2, 1, 48}));
  EXPECT_EQ(logits_of(read), logits_of(made.changed.model));
  EXPECT_NE(read.tokenizer(), nullptr);
  EXPECT_LT(made.weights, made.changed.weights);
  ASSERT_TRUE(made.measured);
  EXPECT_GT(made.measured->divergence, 0);
  // As files, they are the model of Hugging Face's format.
  const Folder files;
  const auto archive = archive::Archive::open(path);
  for (size_t f = 0; f < archive.files().size(); ++f) {
    if (archive.files()[f].kind != archive::EntryKind::kRegular) continue;
    Bytes bytes(archive.files()[f].size);
    archive.read(f, 0, bytes);
    model::testing::write_file(
        files.path() / std::filesystem::path(archive.files()[f].path).filename(), bytes);
  }
  EXPECT_EQ(logits_of(model::load_model(files.path())), logits_of(read));
}

TEST(ReducedModel, IsReducedAgain) {
  const ReducedModel once = reduced(mixed);
  const Folder out;
  const auto path = out.path() / "m.pith";
  archive::write_archive(once.changed.inputs, path, {.threads = 2});
  const auto source = model::open_weights(path);
  const model::LanguageModel before = model::make_model(*source);
  const CalibrationText text =
      calibration_text(before, default_calibration_text(), {.tokens = 128, .window = 64});
  const Reducing reducing{.source = *source, .model = before, .text = text, .threads = 2};
  const auto calibrated = calibrate(before, text.windows, text.length, {.gradient_tokens = 64});
  EXPECT_TRUE(calibrated.attention[2].empty());
  EXPECT_EQ(calibrated.attention[3].size(), 2u);
  write_statistics(calibrated, out.path() / "s.pith", false);
  EXPECT_EQ(read_statistics(out.path() / "s.pith").attention, calibrated.attention);
  const model::ReducedWeights again(*source, mixed(reducing));
  EXPECT_EQ(again.config().sizes(0), (model::LayerSizes{4, 2, 24}));
  EXPECT_EQ(again.config().architecture, model::Architecture::kDeci);
  for (const float v : logits_of(model::make_model(again))) ASSERT_TRUE(std::isfinite(v));
}

TEST(ReducedModel, OnlyFilesOfAModelAreReduced) {
  const std::filesystem::path file = tiny().folder.path() / "model.safetensors";
  const auto nothing = [](const Reducing& r) {
    return without_parts(r.model.config(), PartKind::kLayer, {0});
  };
  EXPECT_THROW(reduced_model(file, archive::expand_inputs(std::span(&file, 1)),
                             default_calibration_text(), nothing),
               Error);
}

TEST(ReducedModel, DivergenceIsZeroWhereNothingGoes) {
  std::vector<double> lost;
  reduced([&](const Reducing& r) {
    for (uint32_t n = 0; n < 3; ++n) {
      std::vector<uint32_t> layers(n);
      std::iota(layers.begin(), layers.end(), 0U);
      lost.push_back(r.divergence(without_parts(r.model.config(), PartKind::kLayer, layers), 2));
    }
    return without_parts(r.model.config(), PartKind::kLayer, {});
  });
  EXPECT_NEAR(lost[0], 0, 1e-6);
  EXPECT_GT(lost[1], 1e-3);
  EXPECT_GT(lost[2], lost[1]);
}

// To take a unit out changes the loss as its first-order score says where it hardly does anything.
TEST(ReducedModel, FirstOrderScoresAreSumsOverUnits) {
  reduced([](const Reducing& r) {
    const auto scores = first_order_scores(r);
    EXPECT_EQ(scores.size(), 8u);
    for (const auto& [name, of_units] : scores) {
      EXPECT_EQ(of_units.size(), name.find("o_proj") != name.npos ? 2u : 96u) << name;
      for (const double s : of_units) EXPECT_GT(s, 0) << name;
    }
    return without_parts(r.model.config(), PartKind::kLayer, {});
  });
}

TEST(PartStudy, PartsThatAreNotThereChangeNothing) {
  PartStudy whole;
  reduced([&](const Reducing& r) {
    whole = study_parts(r, {.bins = 64, .tokens = 50});
    const auto reduction = without_parts(r.model.config(), PartKind::kAttention, {1});
    const model::ReducedWeights weights(r.source, reduction);
    const model::LanguageModel model = model::make_model(weights);
    const Reducing other{.source = weights, .model = model, .text = r.text, .threads = 1};
    const PartStudy study = study_parts(other, {.bins = 64, .tokens = 50});
    EXPECT_DOUBLE_EQ(study.attention[1], 1);
    EXPECT_LT(study.attention[0], 1);
    EXPECT_EQ(study.entropies.histogram[2], study.entropies.histogram[3]);
    EXPECT_EQ(study.entropies.nearest[2], study.entropies.nearest[3]);
    EXPECT_EQ(study.entropies.histogram[1], whole.entropies.histogram[1]);
    return reduction;
  });
  EXPECT_EQ(whole.entropies.histogram.size(), 9u);
  EXPECT_EQ(whole.layer.size(), 4u);
}

}  // namespace
}  // namespace pith::weights
