// Methods that take parts, heads or neurons out, each from its options to an archive that runs, on
// a model so small that sanitizers watch all of it.
#include <gtest/gtest.h>

#include <cmath>

#include "../weights/linears.h"
#include "../weights/testing_reference.h"
#include "../weights/testing_tiny.h"
#include "pith/audit/perplexity.h"
#include "pith/base/error.h"
#include "pith/model/session.h"
#include "pith/recipe/registry.h"
#include "pith/weights/removal_meter.h"
#include "pith/weights/units_left.h"
#include "unit_scores.h"

namespace pith::recipe {
namespace {

using weights::testing::tiny;

weights::ReducedModel reduced(std::string_view recipe, Values values) {
  Plan plan;
  apply(find_recipe(recipe), std::move(values), plan);
  EXPECT_TRUE(plan.reduce);
  const std::filesystem::path folder = tiny().folder.path();
  return weights::reduced_model(
      folder, archive::expand_inputs(std::span(&folder, 1)), weights::default_calibration_text(),
      plan.reduce, {.size = {.tokens = 256, .window = 64}, .threads = 2, .progress = {}});
}

const model::DecoderConfig& config_of(const weights::ReducedModel& m) {
  return m.changed.model.config();
}

TEST(Reducing, EveryRecipeMakesAnArchiveThatRuns) {
  for (const Recipe& recipe : all_recipes()) {
    if (recipe.needs_base) continue;
    Plan plan;
    apply(recipe, {}, plan);
    if (!plan.reduce) continue;
    Values values;
    if (recipe.name == "ziplm") values = {{"speedup", "1.05"}, {"trials", "2"}, {"steps", "3"}};
    const weights::ReducedModel made = reduced(recipe.name, values);
    EXPECT_LT(made.weights, made.changed.weights) << recipe.name;
    const model::testing::Folder out;
    const auto path = out.path() / "m.pith";
    archive::write_archive(made.changed.inputs, path, {.threads = 2});
    EXPECT_EQ(model::testing::logits_of(model::load_model(path)),
              model::testing::logits_of(made.changed.model))
        << recipe.name;
  }
}

TEST(Reducing, PartsThatAreNamedGo) {
  const auto late = reduced("late-attention", {{"count", "3"}});
  for (uint32_t l = 0; l < 4; ++l) EXPECT_EQ(config_of(late).has_attention(l), l == 0);
  const auto first =
      reduced("late-attention", {{"of", "feed-forward"}, {"which", "first"}, {"count", "1"}});
  for (uint32_t l = 0; l < 4; ++l) EXPECT_EQ(config_of(first).has_feed_forward(l), l != 0);
  const auto layers = reduced("entrodrop", {{"of", "layers"}, {"count", "2"}});
  uint32_t gone = 0;
  for (uint32_t l = 0; l < 4; ++l) {
    EXPECT_EQ(config_of(layers).has_attention(l), config_of(layers).has_feed_forward(l));
    gone += !config_of(layers).has_attention(l);
  }
  EXPECT_EQ(gone, 2u);
}

TEST(Reducing, SharesAreThoseOfTheOptions) {
  const auto made = reduced("stat-prune", {{"units", "25%"}, {"groups", "50%"}});
  for (uint32_t l = 0; l < 4; ++l) {
    EXPECT_EQ(config_of(made).sizes(l), (model::LayerSizes{2, 1, 72}));
  }
  const auto uneven = reduced("modegpt", {{"units", "40%"}, {"temperature", "0.05"}});
  uint64_t units = 0;
  for (uint32_t l = 0; l < 4; ++l) units += config_of(uneven).sizes(l).feed_forward;
  EXPECT_NEAR(static_cast<double>(units), 4 * 96 * 0.6, 2);
}

uint64_t elements_of(const weights::ReducedModel& m) {
  return m.weights - m.changed.model.weights().embedding->shape().size();
}

TEST(Reducing, ModulesAndLayersGoUntilAShareIsLeft) {
  const uint64_t all = 4 * (3 * 96 * 64 + 12 * 16 * 64);
  for (const char* order : {"width", "depth"}) {
    const auto made = reduced("mope-clip", {{"keep", "60%"}, {"order", order}, {"parts", "4"}});
    uint32_t gone = 0;
    for (uint32_t l = 0; l < 4; ++l) gone += config_of(made).sizes(l) == model::LayerSizes{0, 0, 0};
    EXPECT_GE(gone, 1u) << order;
    EXPECT_LE(elements_of(made), all * 6 / 10) << order;
    // No part of a layer's neurons is smaller.
    EXPECT_GT(elements_of(made) + 12 * 16 * 64, all * 6 / 10) << order;
  }
  const auto widest = reduced("mope-clip", {{"keep", "75%"}, {"depth", "1"}, {"parts", "2"}});
  uint32_t whole = 0;
  for (uint32_t l = 0; l < 4; ++l)
    whole += config_of(widest).sizes(l) == model::LayerSizes{4, 2, 96};
  EXPECT_EQ(whole, 3u) << "a layer of four is all that is to go";
}

TEST(Reducing, OneRankingGivesEveryModuleItsShare) {
  const uint64_t all = 4 * (3 * 96 * 64 + 12 * 16 * 64);
  const auto equal = reduced("upop", {{"keep", "50%"}, {"ratios", "equal"}, {"rounds", "1"}});
  for (uint32_t l = 0; l < 4; ++l) {
    EXPECT_EQ(config_of(equal).sizes(l), config_of(equal).sizes(0));
    EXPECT_EQ(config_of(equal).sizes(l).kv_heads, 1u);
  }
  for (const char* rounds : {"1", "3"}) {
    const auto unified = reduced("upop", {{"keep", "50%"}, {"rounds", rounds}});
    EXPECT_LE(elements_of(unified), all / 2);
    EXPECT_GT(elements_of(unified) + 12 * 16 * 64, all / 2);
  }
}

TEST(Reducing, WrongOptionsAreRefused) {
  const auto refused = [](std::string_view recipe, Values values, std::string_view key) {
    try {
      reduced(recipe, std::move(values));
      ADD_FAILURE() << recipe << " took it";
    } catch (const Error& e) {
      EXPECT_NE(std::string_view(e.what()).find(key), std::string_view::npos) << e.what();
    }
  };
  refused("late-attention", {{"count", "5"}}, "count");
  refused("late-attention", {{"of", "layers"}, {"count", "4"}}, "leave none");
  refused("stat-prune", {{"units", "100%"}}, "units");
  refused("upop", {{"keep", "0%"}}, "keep");
  refused("late-attention", {{"of", "norms"}}, "of");
  refused("entrodrop", {{"bins", "1"}}, "bins");
  refused("stat-prune", {{"units", "25"}}, "units");
  refused("stat-prune", {{"select", "best"}}, "select");
  refused("modegpt", {{"temperature", "0"}}, "temperature");
  refused("mope-clip", {{"keep", "75"}}, "keep");
  refused("mope-clip", {{"depth", "4"}}, "depth");
  refused("mope-clip", {{"order", "both"}}, "order");
  refused("mope-clip", {{"by", "luck"}}, "by");
  refused("upop", {{"keep", "101%"}}, "keep");
  refused("upop", {{"rounds", "0"}}, "rounds");
  refused("upop", {{"ratios", "fair"}}, "ratios");
  refused("upop", {{"scale", "rank"}}, "scale");
  refused("ziplm", {{"speedup", "0.5"}}, "speedup");
  refused("ziplm", {{"speedup", "900"}, {"steps", "2"}}, "speedup");
}

// As if each element of the layers took its time, and all of them a little less than each alone.
std::function<double(const model::LanguageModel&)> clock_of(const model::LanguageModel& whole) {
  const auto elements = [](const model::LanguageModel& m) {
    double all = 0;
    for (const model::DecoderLayer& layer : m.weights().layers) {
      for (const model::Linear* l : weights::linears(layer)) {
        all += static_cast<double>(l->weight->shape().size());
      }
    }
    return all;
  };
  return [elements, all = elements(whole)](const model::LanguageModel& m) {
    const double left = elements(m) / all;
    return 1e-3 * (0.2 + 1.1 * left - 0.1 * left * left);
  };
}

// Of a machine that is at half its speed every other time it is asked.
auto clock_of_many(std::function<double(const model::LanguageModel&)> clock) {
  return [clock = std::move(clock), slow = false](
             std::span<const model::LanguageModel* const> models, uint64_t, int) mutable {
    slow = !slow;
    std::vector<double> out;
    for (const model::LanguageModel* m : models) out.push_back((slow ? 2 : 1) * clock(*m));
    return out;
  };
}

TEST(Reducing, SpeedsThatAreAskedForAreReached) {
  const auto source = model::open_weights(tiny().folder.path());
  const weights::CalibrationText text = weights::calibration_text(
      *tiny().model, weights::default_calibration_text(), {.tokens = 256, .window = 64});
  const auto clock = clock_of(*tiny().model);
  for (const char* speedup : {"1.5", "2", "3"}) {
    Plan plan;
    apply(find_recipe("ziplm"), {{"speedup", speedup}, {"trials", "0"}}, plan);
    const model::LanguageModel small = model::make_model(
        model::ReducedWeights(*source, plan.reduce({.source = *source,
                                                    .model = *tiny().model,
                                                    .text = text,
                                                    .seconds = clock_of_many(clock)})));
    EXPECT_NEAR(clock(*tiny().model) / clock(small) / std::stod(speedup), 1, 0.05) << speedup;
  }
}

// What a text that nothing was fitted to loses.
double divergence_of(const model::LanguageModel& model, const model::LanguageModel& small,
                     const weights::CalibrationText& text) {
  model::Session before(model, 65, 2), after(small, 65, 2);
  const audit::LogitSource was = audit::logits_of(before), is = audit::logits_of(after);
  return audit::evaluate(is, text.held_out,
                         {.context = 64, .max_windows = 8, .changed = 0, .threads = 2}, &was)
      .divergence->kl.mean;
}

// Of the reference model.
struct Shrunk {
  double divergence = 0, seconds = 0;
};

Shrunk shrunk(std::string_view recipe, Values values, uint64_t tokens = 2048) {
  Plan plan;
  apply(find_recipe(recipe), std::move(values), plan);
  const model::LanguageModel& model = weights::testing::reference().model;
  const auto source = model::open_weights(weights::testing::reference().folder);
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = tokens, .window = 64});
  const auto made = [&](const model::Reduction& reduction) {
    return model::make_model(model::ReducedWeights(*source, reduction));
  };
  const auto clock = clock_of(model);
  weights::CalibrationText calibration = text;
  calibration.held_out.assign(text.windows.begin(), text.windows.begin() + 8 * 64);
  const weights::Reducing reducing{
      .source = *source,
      .model = model,
      .text = text,
      .divergence = [&](const model::Reduction& reduction,
                        uint64_t) { return divergence_of(model, made(reduction), calibration); },
      .seconds = clock_of_many(clock),
      .threads = 2};
  const model::LanguageModel small = made(plan.reduce(reducing));
  return {divergence_of(model, small, text), clock(small)};
}

double divergence_of(std::string_view recipe, Values values, uint64_t tokens = 2048) {
  return shrunk(recipe, std::move(values), tokens).divergence;
}

// Modules of the reference model, each taken out alone.
struct Alone {
  std::vector<double> calibrated, unseen, squares;  // of one element
};

weights::CalibrationText held_out_of(const weights::CalibrationText& text, uint64_t tokens) {
  weights::CalibrationText out;
  out.length = text.length;
  out.windows.assign(text.held_out.begin(),
                     text.held_out.begin() + static_cast<std::ptrdiff_t>(tokens));
  return out;
}

Alone taken_alone(const weights::Reducing& r, const weights::CalibrationText& unseen,
                  uint64_t windows, uint32_t parts) {
  const model::DecoderConfig& c = r.model.config();
  const weights::RemovalMeter here(r.source, r.model, r.text, windows, 2),
      there(r.source, r.model, unseen, windows, 2);
  const UnitScores norms = squares(r);
  Alone out;
  const auto without = [&](const weights::UnitsLeft& left, double norm) {
    const auto elements = static_cast<double>(weights::elements(c, weights::all_units(c)) -
                                              weights::elements(c, left));
    const model::Reduction reduction = weights::leaving(c, left);
    out.calibrated.push_back(here.divergence(reduction) / elements);
    out.unseen.push_back(there.divergence(reduction) / elements);
    out.squares.push_back(norm / elements);
  };
  for (uint32_t l = 0; l < c.layers; ++l) {
    for (uint32_t g = 0; g < c.sizes(l).kv_heads; ++g) {
      weights::UnitsLeft left = weights::all_units(c);
      std::erase(left[l].groups, g);
      without(left, norms[l].groups[g]);
    }
    for (uint32_t part = 0; part < parts; ++part) {
      weights::UnitsLeft left = weights::all_units(c);
      double norm = 0;
      std::erase_if(left[l].neurons, [&](uint32_t n) {
        const bool goes = n % parts == part;
        norm += goes ? norms[l].neurons[n] : 0;
        return goes;
      });
      without(left, norm);
    }
  }
  return out;
}

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double v : values) {
    out.push_back(
        static_cast<double>(std::ranges::count_if(values, [&](double w) { return w < v; })));
  }
  return out;
}

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double mean = (static_cast<double>(x.size()) - 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xy / std::sqrt(xx * yy);
}

TEST(ReducingQuality, WhatAModuleCostsIsFoundByTakingItOut) {
  const model::LanguageModel& model = weights::testing::reference().model;
  const auto source = model::open_weights(weights::testing::reference().folder);
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = 256, .window = 64});
  const weights::Reducing reducing{.source = *source, .model = model, .text = text, .threads = 2};
  const Alone alone = taken_alone(reducing, held_out_of(text, 256), 4, 3);
  EXPECT_GT(rank_correlation(alone.calibrated, alone.unseen), 0.8);
  EXPECT_GT(rank_correlation(alone.calibrated, alone.unseen),
            rank_correlation(alone.squares, alone.unseen) + 0.1);
}

// What is left makes up for much of what went.
TEST(ReducingQuality, PivotsWithACorrectionLoseLessThanMagnitude) {
  EXPECT_GT(
      divergence_of("stat-prune", {{"units", "25%"}, {"fold", "no"}, {"select", "magnitude"}}),
      1.5 * divergence_of("stat-prune", {{"units", "25%"}}));
}

// The same neurons; with less text the correction brings less.
TEST(ReducingQuality, PivotsWithoutTheirCorrectionLoseClearlyMore) {
  EXPECT_GT(divergence_of("stat-prune", {{"units", "25%"}, {"fold", "no"}}, 4096),
            1.15 * divergence_of("stat-prune", {{"units", "25%"}}, 4096));
}

TEST(ReducingQuality, LateAttentionCostsLessThanLateLayersButMoreThanEarlyAttention) {
  const auto without = [](const char* of, const char* which) {
    return divergence_of("late-attention", {{"of", of}, {"which", which}}, 256);
  };
  const double late = without("attention", "last");
  EXPECT_LT(late, 0.7 * without("feed-forward", "last"));
  EXPECT_LT(late, 0.5 * without("layers", "last"));
  // Contradicted: early attention can rather be spared.
  EXPECT_GT(late, 1.2 * without("attention", "first"));
}

// Contradicted: entropy falls behind the last layer, which therefore goes and is missed.
TEST(ReducingQuality, PartsOfLeastEntropyCostMoreThanTheMostAlike) {
  for (const char* of : {"attention", "layers"}) {
    const auto by = [of](const char* score) {
      return divergence_of("entrodrop", {{"of", of}, {"score", score}}, 1024);
    };
    EXPECT_GT(by("histogram"), 1.3 * by("cosine")) << of;
  }
}

TEST(ReducingQuality, SizesByTimeAndErrorLoseLessThanOthersThatAreNoFaster) {
  // Equal levels are far from each other: as fast as one of them.
  const Shrunk equal = shrunk("ziplm", {{"share", "uniform"}});
  const double whole = 1.2e-3;
  const Shrunk searched = shrunk(
      "ziplm", {{"trials", "1"}, {"speedup", fmt::format("{}", 1.01 * whole / equal.seconds)}});
  const Shrunk layers =
      shrunk("late-attention", {{"of", "layers"}, {"count", "3"}, {"which", "alike"}});
  for (const Shrunk& other : {equal, layers}) {
    EXPECT_GE(other.seconds, 0.99 * searched.seconds);
    EXPECT_GT(other.divergence, searched.divergence);
  }
}

TEST(ReducingQuality, OneRankingLosesLessThanEqualShares) {
  EXPECT_LT(divergence_of("upop", {{"rounds", "1"}}, 512),
            0.8 * divergence_of("upop", {{"rounds", "1"}, {"ratios", "equal"}}, 512));
}

}  // namespace
}  // namespace pith::recipe
