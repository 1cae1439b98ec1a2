#include "pith/weights/compress_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../archive/testing.h"
#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/fit/expression_fitter.h"
#include "pith/weights/layer_walk.h"
#include "testing_reference.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

namespace fs = std::filesystem;
using testing::reference;

CompressModelOptions small_options() {
  CompressModelOptions options;
  options.size = {.tokens = 1024, .window = 256};
  options.gradient_tokens = 512;
  options.threads = 2;
  return options;
}

using testing::tiny;

Bytes stored(const ModelCompressor& compressor, const CompressedModel& made,
             std::span<const archive::Input> inputs = tiny().inputs) {
  archive::WriteOptions options;
  options.threads = 2;
  compressor.store(made, options);
  Bytes out;
  archive::write_archive(
      inputs, [&](ByteView b) { out.insert(out.end(), b.begin(), b.end()); }, options);
  return out;
}

std::string message_of(const std::function<void()>& f, ErrorKind kind) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(CalibrationText, WindowsAreSpreadAndTheEndIsKeptBack) {
  const model::LanguageModel& m = reference().model;
  const std::string_view text = default_calibration_text();
  const CalibrationText t = calibration_text(m, text, {.tokens = 1000, .window = 100});
  EXPECT_EQ(t.length, 100u);
  EXPECT_EQ(t.count(), 10u);
  EXPECT_EQ(t.windows.size(), 1000u);
  const auto all = m.tokenizer()->encode(text, {.add_bos = false});
  EXPECT_NEAR(static_cast<double>(t.held_out.size()), static_cast<double>(all.size()) / 10, 1);
  EXPECT_TRUE(std::equal(t.held_out.rbegin(), t.held_out.rend(), all.rbegin()));
  for (uint64_t i = 0; i < t.count() && t.begins_with_bos; ++i) {
    EXPECT_EQ(t.windows[i * 100], m.tokenizer()->bos());
  }
  // Shorter than a window: one window of what there is, and nothing kept back.
  const CalibrationText brief =
      calibration_text(m, text.substr(0, 200), {.tokens = 1000, .window = 512});
  EXPECT_EQ(brief.count(), 1u);
  EXPECT_TRUE(brief.held_out.empty());
  message_of([&] { calibration_text(m, "Too short."); }, ErrorKind::kData);
  message_of([&] { calibration_text(m, text, {.tokens = 0}); }, ErrorKind::kUsage);
}

TEST(LayerWalk, SeesWhatVisitorsPutInPlace) {
  const model::LanguageModel& m = reference().model;
  const CalibrationText text =
      calibration_text(m, default_calibration_text(), {.tokens = 128, .window = 64});
  const auto importance = [&](bool replace) {
    std::map<std::string, double> sums;
    walk_layers(m, text,
                [&](const Visit& v) -> form::FormPtr {
                  double& sum = sums[std::string(v.name) + (v.role == Role::kHead ? " head" : "")];
                  for (uint64_t c = 0; c < v.inputs.columns(); ++c) sum += v.inputs.importance(c);
                  if (!replace || v.name != "model.layers.0.mlp.down_proj.weight") return nullptr;
                  return form::encode(form::parse("zeros"), form::Matrix(v.weight->shape()).view());
                },
                {.threads = 2});
    return sums;
  };
  const auto before = importance(false), after = importance(true);
  EXPECT_EQ(before.size(), 58u);  // 7 of 8 layers, the embedding, and it once more as the head
  for (const auto& [name, sum] : before) {
    const bool earlier = name.starts_with("model.layers.0") || name == "model.embed_tokens.weight";
    if (earlier) {
      EXPECT_EQ(sum, after.at(name)) << name;
    } else {
      EXPECT_NE(sum, after.at(name)) << name;
    }
  }
}

TEST(ModelCompressorQuality, KeepsToBitsAndLosesLessThanPlainForms) {
  ModelCompressor compressor(reference().model, reference().inputs, default_calibration_text(),
                             small_options());
  const Limits limits{.bits = 4.5};
  const ModelPlan plan = compressor.plan(limits);
  const CompressedModel made = compressor.compress(limits);
  const Bytes file = stored(compressor, made, reference().inputs);
  const double bits = 8 * static_cast<double>(file.size()) / static_cast<double>(plan.weights);
  EXPECT_LE(bits, 4.5);
  EXPECT_GT(bits, 4.4);
  EXPECT_NEAR(plan.bytes, static_cast<double>(file.size()), 0.03 * plan.bytes);
  ASSERT_TRUE(made.measured);
  EXPECT_LT(made.measured->divergence, 0.0035);  // Q4_K_M of llama.cpp: 0.0033 at 5.07 bits
  EXPECT_NEAR(made.plan.divergence / made.measured->divergence, 1, 0.6);
  const auto archive = archive::Archive::open_memory(file);
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    EXPECT_EQ(archive.form(t) != nullptr, archive.tensors()[t].region.shape.size() == 2);
  }
}

TEST(ModelCompressor, LosesNoMoreThanItMay) {
  CompressModelOptions options = testing::tiny_options();
  options.rules = {archive::lossless_rule("embed")};
  ModelCompressor compressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
  const CompressedModel made = compressor.compress({.divergence = 0.003});
  ASSERT_TRUE(made.measured);
  EXPECT_LE(made.measured->divergence, 0.003);
  EXPECT_GT(made.measured->divergence, 0.001);
  const auto grown = [](const CompressedModel& m) {
    return m.measured->perplexity / m.measured->perplexity_before - 1;
  };
  const CompressedModel other = compressor.compress({.perplexity = 0.01});
  EXPECT_LE(grown(other), 0.01);
  const std::string said = message_of(
      [&] { compressor.compress({.ratio = 1.75, .divergence = 1e-5}); }, ErrorKind::kLimit);
  EXPECT_NE(said.find("are allowed"), std::string::npos) << said;
}

TEST(ModelCompressor, IsTheSameOnAnyNumberOfThreads) {
  CompressModelOptions options = testing::tiny_options();
  options.size = {.tokens = 128, .window = 128};
  options.gradient_tokens = 128;
  options.rules = {archive::lossless_rule("layers.[2-7]")};  // little is to be fitted
  Bytes first;
  for (const int threads : {1, 3}) {
    options.threads = threads;
    ModelCompressor compressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
    const Bytes file = stored(compressor, compressor.compress({.bits = 5}));
    if (first.empty()) first = file;
    EXPECT_TRUE(file == first);
  }
}

// Stops at the n-th report of a stage.
struct Stop {
  std::string stage;
  int reports = 0;
};

CompressModelOptions kept_in(const fs::path& journal, const Stop& stop = {}) {
  CompressModelOptions options = testing::tiny_options();
  options.size = {.tokens = 128, .window = 128};
  options.gradient_tokens = 128;
  options.rules = {archive::lossless_rule("layers.[2-7]")};  // little is to be fitted
  options.journal = journal;
  options.progress = [stop](const char* stage) -> Progress {
    if (stage != stop.stage) return {};
    return [left = stop.reports](uint64_t, uint64_t) mutable { return --left > 0; };
  };
  return options;
}

TEST(ModelCompressor, GoesOnWhereItWasInterrupted) {
  const archive::testing::TempDir folder;
  const fs::path journal = folder.path() / "j";
  const auto run = [&](const CompressModelOptions& options, const Limits& limits) {
    ModelCompressor compressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
    Bytes file = stored(compressor, compressor.compress(limits));
    return std::pair(std::move(file), compressor.journal().found());
  };
  const Bytes whole = run(kept_in(""), {.bits = 5}).first;
  for (const Stop& stop : {Stop{"calibrating", 2}, Stop{"measuring rates", 5}, Stop{"fitting", 4},
                           Stop{"measuring what was lost", 1}}) {
    message_of([&] { run(kept_in(journal, stop), {.bits = 5}); }, ErrorKind::kIo);
  }
  const auto [file, found] = run(kept_in(journal), {.bits = 5});
  EXPECT_TRUE(file == whole);
  // Rates and fits of two layers and the embedding (14 matrices and 1), and some tries of the last.
  EXPECT_GE(found, 30u);
  // Other limits go on from the same rates, and another key from nothing.
  EXPECT_EQ(run(kept_in(journal), {.bits = 4.9}).second, 15u);
  CompressModelOptions other = kept_in(journal);
  other.journal_key = "another";
  EXPECT_EQ(run(other, {.bits = 5}).second, 0u);
  // What was damaged is done again.
  for (const auto& entry : fs::directory_iterator(journal)) {
    fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
  }
  EXPECT_TRUE(run(kept_in(journal), {.bits = 5}).first == whole);
}

TEST(ModelCompressor, ChoosesOfFormsWithinLimitsAndLeavesToRulesWhatTheyDecide) {
  CompressModelOptions options = testing::tiny_options();
  for (const char* text :
       {"uniform(3, group=32)", "uniform(4, group=32)", "uniform(6, group=32)"}) {
    options.candidates.push_back({text, fit::expression_fitter(form::parse(text)), 0.1});
  }
  options.rules = {archive::lossless_rule("layers.[3-7]"), archive::lossless_rule("layers.0"),
                   archive::parse_form_rule("layers.1=uniform(8)")};
  ModelCompressor compressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
  const CompressedModel made = compressor.compress({.bits = 6});
  const Bytes file = stored(compressor, made);
  EXPECT_LE(8.0 * static_cast<double>(file.size()) / static_cast<double>(made.plan.weights), 6);
  const auto archive = archive::Archive::open_memory(file);
  std::map<std::string, int> forms;
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    const std::string& name = archive.tensors()[t].region.name;
    const form::FormPtr form = archive.form(t);
    const bool kept = !name.starts_with("model.layers.1") && !name.starts_with("model.layers.2");
    if (kept && name.find("layers") != std::string::npos) {
      EXPECT_EQ(form, nullptr) << name;
    } else if (form && name.find("layers.1") != std::string::npos) {
      EXPECT_EQ(form::to_string(form->expression()), "uniform(8, group=64)");
    } else if (form) {
      ++forms[form::to_string(form->expression())];
    }
  }
  EXPECT_GE(forms.size(), 2u);
  const double nanoseconds = 0.1;
  const std::string said = message_of(
      [&] { compressor.plan({.milliseconds = nanoseconds * 1e5 / 1e6}); }, ErrorKind::kLimit);
  EXPECT_NE(said.find("milliseconds"), std::string::npos) << said;
}

FormCandidate candidate(const char* text) {
  return {text, fit::expression_fitter(form::parse(text))};
}

// One form has one size: a limit below it is not passed over.
TEST(ModelCompressor, OneFormBeyondTheLimitIsRefused) {
  CompressModelOptions options = testing::tiny_options();
  options.rules = {archive::lossless_rule("embed")};
  options.candidates = {candidate("uniform(4, group=32)")};
  ModelCompressor compressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
  const double bytes = compressor.compress({}).plan.bytes;
  const auto most = static_cast<uint64_t>(bytes);
  EXPECT_EQ(compressor.compress({.bytes = most}).plan.bytes, bytes);
  const std::string said =
      message_of([&] { compressor.compress({.bytes = most - 1}); }, ErrorKind::kLimit);
  EXPECT_NE(said.find(fmt::format("{} bytes are asked for", most - 1)), std::string::npos) << said;
  EXPECT_NE(said.find(fmt::format("has about {}", most)), std::string::npos) << said;
  message_of([&] { compressor.compress({.divergence = 1e-6}); }, ErrorKind::kLimit);
}

// Trials that promise less than fits then take: another choice, until it is within the limit.
TEST(ModelCompressor, WhatWasChosenIsWithinTheLimitWhateverTrialsSay) {
  CompressModelOptions options = testing::tiny_options();
  options.rules = {archive::lossless_rule("embed")};
  for (const char* text : {"uniform(3, group=32)", "uniform(4, group=32)", "uniform(5, group=32)"})
    options.candidates.push_back(candidate(text));
  options.candidates[2].trial = [](const fit::Task& task) {
    return fit::Fitted{fit::expression_fitter(form::parse("uniform(4, group=64)"))(task).form, 0};
  };
  ModelCompressor compressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
  double least = INFINITY;
  for (const double bits : {9.0, 8.8}) {
    const CompressedModel made = compressor.compress({.bits = bits});
    const double came = 8 * made.plan.bytes / static_cast<double>(made.plan.weights);
    EXPECT_LE(came, bits);
    EXPECT_LT(came, least);
    least = came;
  }
}

TEST(ModelCompressor, RefusesBeforeItReadsAText) {
  CompressModelOptions options = testing::tiny_options();
  options.rules = {archive::lossless_rule("embed")};
  options.candidates = {candidate("uniform(4, group=32)"), candidate("uniform(6, group=32)")};
  options.within = Limits{.bits = 2};
  options.progress = [](const char* stage) -> Progress {
    ADD_FAILURE() << stage;
    return {};
  };
  const auto make = [&] {
    ModelCompressor(*tiny().model, tiny().inputs, default_calibration_text(), options);
  };
  const std::string said = message_of(make, ErrorKind::kUsage);
  EXPECT_NE(said.find("(2.000 bits a weight)"), std::string::npos) << said;
  EXPECT_NE(said.find("the smallest archive that this can make"), std::string::npos) << said;
  options.within = {};
  options.candidates.erase(options.candidates.begin());
  options.candidates[0].check = [](form::Shape shape) {
    if (shape.cols == 96) fail(ErrorKind::kUsage, "not of 96");
  };
  EXPECT_EQ(message_of(make, ErrorKind::kUsage), "model.layers.0.mlp.down_proj.weight: not of 96");
  options.candidates.push_back(candidate("uniform(6, group=32)"));  // which takes it
  options.within = Limits{.bits = 12};
  options.progress = {};
  EXPECT_NO_THROW(make());
}

TEST(ModelCompressor, SaysTheSmallestThatCanBe) {
  CompressModelOptions options = testing::tiny_options();
  options.calibrated = false;
  ModelCompressor compressor(*tiny().model, tiny().inputs, "", options);
  const std::string said = message_of([&] { compressor.plan({.bytes = 1000}); }, ErrorKind::kLimit);
  EXPECT_NE(said.find("the smallest archive of this model has about"), std::string::npos) << said;
  message_of([&] { compressor.plan({}); }, ErrorKind::kUsage);
  // Without a text nothing is known but the weights; limits hold all the same.
  const CompressedModel made = compressor.compress({.bits = 5});
  EXPECT_LE(8.0 * static_cast<double>(stored(compressor, made).size()) /
                static_cast<double>(made.plan.weights),
            5);
  EXPECT_FALSE(made.measured);
  options.rules = {archive::lossless_rule(".")};
  message_of([&] { ModelCompressor(*tiny().model, tiny().inputs, "", options); },
             ErrorKind::kUsage);
}

}  // namespace
}  // namespace pith::weights
