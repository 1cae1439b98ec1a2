#include "pith/weights/rotated_model.h"

#include <gtest/gtest.h>

#include "input_scales.h"
#include "learned_rotation.h"
#include "pith/fit/expression_fitter.h"
#include "pith/fit/rotation.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using model::testing::farthest;
using model::testing::Folder;
using model::testing::logits_of;
using model::testing::message_of;
using testing::tiny;

RotateOptions small(RotateBy by) {
  RotateOptions options{.by = by, .threads = 2};
  options.size = {.tokens = 256, .window = 64};
  options.gradient_tokens = 128;
  options.steps = 4;
  return options;
}

RotateOptions smooth(double power) {
  RotateOptions options = small(RotateBy::kNothing);
  options.smooth = power;
  return options;
}

std::vector<archive::Input> folder_inputs(const std::filesystem::path& folder) {
  return archive::expand_inputs(std::span(&folder, 1));
}

TEST(RotatedModel, AnArchiveOfItComputesTheSame) {
  const auto wanted = logits_of(*tiny().model);
  const std::filesystem::path folder = tiny().folder.path();
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) bytes += file.file_size();
  for (const auto by : {RotateBy::kValues, RotateBy::kHadamard, RotateBy::kLearned}) {
    const ChangedModel rotated =
        rotated_model(folder, folder_inputs(folder), default_calibration_text(), small(by));
    EXPECT_LT(farthest(logits_of(rotated.model), wanted), 1e-3);  // of about 8
    EXPECT_EQ(rotated.bytes, bytes);
    EXPECT_EQ(rotated.model.config().tied_embeddings, by == RotateBy::kValues);
    const Folder out;
    const auto path = out.path() / "m.pith";
    archive::write_archive(rotated.inputs, path, {.threads = 2});
    const model::LanguageModel read = model::load_model(path);
    EXPECT_EQ(logits_of(read), logits_of(rotated.model));
    EXPECT_EQ(read.config().tied_embeddings, by == RotateBy::kValues);
    EXPECT_NE(read.tokenizer(), nullptr);
  }
}

TEST(RotatedModel, LimitsCountTheModelAsItWas) {
  const std::filesystem::path folder = tiny().folder.path();
  const ChangedModel rotated =
      rotated_model(folder, folder_inputs(folder), "", small(RotateBy::kHadamard));
  CompressModelOptions options = testing::tiny_options();
  options.input_size = {rotated.weights, rotated.bytes};
  ModelCompressor compressor(rotated.model, rotated.inputs, default_calibration_text(), options);
  const CompressedModel made = compressor.compress({.bits = 16});
  // The head is there, and shares the room.
  EXPECT_TRUE(made.tensors.contains("lm_head.weight"));
  EXPECT_LE(made.plan.bytes, 16.0 / 8 * static_cast<double>(rotated.weights));
  EXPECT_EQ(made.plan.weights, rotated.weights);
  EXPECT_EQ(compressor.input_bytes(), rotated.bytes);

  const Folder out;
  const auto path = out.path() / "m.pith";
  archive::WriteOptions write{.threads = 2};
  compressor.store(made, write);
  const auto report = archive::write_archive(compressor.inputs(), path, write);
  EXPECT_LE(static_cast<double>(report.stored), 16.0 / 8 * static_cast<double>(rotated.weights));
  EXPECT_EQ(report.forms, made.tensors.size());
  const double size =
      farthest(logits_of(*tiny().model), std::vector<float>(logits_of(*tiny().model).size()));
  EXPECT_LT(farthest(logits_of(model::load_model(path)), logits_of(*tiny().model)), 0.1 * size);
}

// Channels of the attention's inputs that are all made as large by a power of one.
TEST(RotatedModel, ScalesEvenTheChannelsOut) {
  const std::filesystem::path folder = tiny().folder.path();
  const auto spread = [](const model::LanguageModel& model) {
    const auto scales = input_scales(model, default_calibration_text(), smooth(1));
    double most = 1;
    for (const auto& norm : scales) {
      for (const float s : norm) most = std::max({most, double{s}, 1 / double{s}});
    }
    return most;
  };
  const ChangedModel before =
      rotated_model(folder, folder_inputs(folder), default_calibration_text(), smooth(0));
  const ChangedModel after =
      rotated_model(folder, folder_inputs(folder), default_calibration_text(), smooth(1));
  EXPECT_GT(spread(before.model), 1.2);
  EXPECT_LT(spread(after.model), 1.01);
  EXPECT_TRUE(after.model.config().tied_embeddings);
  EXPECT_LT(farthest(logits_of(after.model), logits_of(*tiny().model)), 1e-3);
  EXPECT_SAYS([&] { rotated_model(folder, folder_inputs(folder), "", smooth(1.5)); },
              "by a power of 0 to 1, not 1.5");
}

TEST(RotatedModel, ShardsBecomeOneFile) {
  const Folder folder;
  model::DecoderConfig c = testing::tiny_config();
  c.tied_embeddings = false;
  model::testing::write_hf(folder.path(), c, model::testing::random_tensors(c), DType::kBF16, 3);
  const auto wanted = logits_of(model::load_model(folder.path()));
  const ChangedModel rotated =
      rotated_model(folder.path(), folder_inputs(folder.path()), "", small(RotateBy::kHadamard));
  size_t tensors = 0;
  for (const archive::Input& input : rotated.inputs) {
    EXPECT_EQ(input.path.find("index"), std::string::npos) << input.path;
    if (input.source && input.path.ends_with("/model.safetensors")) ++tensors;
  }
  EXPECT_EQ(tensors, 1);
  const Folder out;
  archive::write_archive(rotated.inputs, out.path() / "m.pith", {.threads = 2});
  EXPECT_LT(farthest(logits_of(model::load_model(out.path() / "m.pith")), wanted), 1e-3);
}

TEST(RotatedModel, LearnedRotationsAreOrthogonalAndTheSameOnAnyNumberOfThreads) {
  const auto source = model::open_weights(tiny().folder.path());
  RotateOptions options = small(RotateBy::kLearned);
  const auto with = [&](int threads) {
    options.threads = threads;
    return learned_rotation(*source, default_calibration_text(), options);
  };
  const model::Rotation one = with(1), three = with(3);
  EXPECT_EQ(one.stream.values, three.stream.values);
  ASSERT_EQ(one.values.size(), three.values.size());
  EXPECT_LT(fit::orthogonality_error(one.stream.view()), 1e-5);
  for (size_t i = 0; i < one.values.size(); ++i) {
    EXPECT_EQ(one.values[i].values, three.values[i].values);
    EXPECT_LT(fit::orthogonality_error(one.values[i].view()), 1e-5);
  }
}

TEST(RotatedModel, RefusesWhatItCannotFold) {
  const std::filesystem::path folder = tiny().folder.path(), file = folder / "model.safetensors";
  // Without its config, which would have to say that the head is untied.
  EXPECT_EQ(
      message_of([&] { rotated_model(file, folder_inputs(file), "", small(RotateBy::kHadamard)); }),
      "what is done to the model changes config.json too: name the model's folder");
  rotated_model(file, folder_inputs(file), "", small(RotateBy::kValues));  // need not say so
  const auto none = folder / "config.json";
  EXPECT_EQ(
      message_of([&] { rotated_model(folder, folder_inputs(none), "", small(RotateBy::kValues)); }),
      "there are no safetensors of a model to change");
  const Folder other;
  const model::DecoderConfig c = testing::tiny_config();
  const auto gguf = other.path() / "m.gguf";
  model::testing::write_gguf(gguf, model::testing::gguf_metadata(c),
                             model::testing::gguf_tensors(c, model::testing::random_tensors(c)));
  EXPECT_EQ(
      message_of([&] { rotated_model(gguf, folder_inputs(gguf), "", small(RotateBy::kValues)); }),
      "m.gguf: models of safetensors are changed before they are compressed; a GGUF file is not");
}

}  // namespace
}  // namespace pith::weights
