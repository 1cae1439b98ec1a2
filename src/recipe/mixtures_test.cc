// Methods for models with experts, on a mixture made of the reference model and on a random one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "../weights/held_out.h"
#include "../weights/testing_mixture.h"
#include "../weights/testing_tiny.h"
#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using weights::Choose;
using weights::Choosing;
using weights::CompressedModel;
using weights::testing::mixture;
using weights::testing::tiny_mixture;
using Chosen = std::vector<size_t>;

weights::CompressModelOptions options_of(const Values& values) {
  Plan plan;
  apply(find_recipe("mc-moe"), values, plan);
  weights::CompressModelOptions options = model_options(plan);
  options.size = {.tokens = 512, .window = 128};
  options.gradient_tokens = 128;  // nothing here goes by them
  options.threads = 2;
  return options;
}

// Levels of experts as a function of layer and expert has them; others as they must be.
Choose by_expert(const std::function<size_t(size_t layer, size_t expert)>& level) {
  return [level](const Choosing& c) {
    Chosen chosen(c.problem.parts.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (c.experts[i]) chosen[i] = level(*c.layers[i], *c.experts[i]);
    }
    return chosen;
  };
}

// Two experts of eight in each layer have 1 bit and six have 3, whichever ones.
Choose at_random(uint64_t seed) {
  return by_expert([seed](size_t layer, size_t expert) -> size_t {
    size_t before = 0;
    const auto rank = [&](size_t e) { return random_bits(seed, 8 * layer + e); };
    for (size_t e = 0; e < 8; ++e) before += rank(e) < rank(expert) ? 1 : 0;
    return before < 2 ? 0 : 2;
  });
}

Choose by_recipe(const Values& values) {
  Plan plan;
  apply(find_recipe("mc-moe"), values, plan);
  return plan.allocation.choose;
}

// Forms that are fitted once, and several choices among them.
class Bench {
 public:
  Bench() {
    weights::CompressModelOptions options = options_of({{"drop", "0"}});
    options.rules = {archive::lossless_rule("layers.[2-7]")};
    options.allocation.choose = [this](const Choosing& c) { return now(c); };
    compressor_ = std::make_unique<weights::ModelCompressor>(mixture().model(), mixture().inputs(),
                                                             weights::default_calibration_text(),
                                                             std::move(options));
  }
  CompressedModel compress(Choose choose) {
    now = std::move(choose);
    return compressor_->compress({});
  }
  Choose now;

 private:
  std::unique_ptr<weights::ModelCompressor> compressor_;
};

TEST(MixturesQuality, BitsByTheProgramLoseLessThanAlikeRandomAndByFrequency) {
  Bench bench;
  const CompressedModel ours = bench.compress(by_recipe({{"windows", "1"}}));
  const auto worse = [&](Choose choose) {
    const CompressedModel other = bench.compress(std::move(choose));
    EXPECT_NEAR(other.plan.bytes / ours.plan.bytes, 1, 1e-3);
    return other.measured->divergence;
  };
  const double divergence = ours.measured->divergence;
  EXPECT_LT(divergence, worse(by_expert([](size_t l, size_t e) { return 1 + (l + e) % 2; })));
  EXPECT_LT(divergence, worse(by_recipe({{"weight", "0"}, {"error", "0"}})));
  for (uint64_t seed = 0; seed < 2; ++seed) EXPECT_LT(divergence, worse(at_random(seed))) << seed;
}

// Experts that go, of as many tokens as a router that is sure would spare.
TEST(MixturesQuality, SureRoutersSayBetterThanImportanceWhatCanGo) {
  const model::LanguageModel& model = mixture().model();
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = 1024, .window = 128});
  const weights::RoutingStudy study = weights::study_routing(model, text, text.count(), 2);
  const auto divergence = [&](const weights::LeaveOut& what) {
    const auto t = weights::thresholds(study, what);
    EXPECT_NEAR(weights::experts_per_token(study, t), 1.5, 0.01);
    return weights::measure_held_out(model, weights::with_weights(model, {}, t), text, 2, {})
        ->divergence;
  };
  EXPECT_LT(divergence({.share = 0.5}), 0.7 * divergence({.share = 1, .kept_whole = 0.5}));
}

TEST(Mixtures, ArchivesHaveTheBitsAndTheThresholds) {
  weights::CompressModelOptions options = options_of({{"mean", "2"}, {"group", "32"}});
  options.size = {.tokens = 256, .window = 64};
  weights::ModelCompressor compressor(*tiny_mixture().model, tiny_mixture().inputs(),
                                      weights::default_calibration_text(), std::move(options));
  const CompressedModel made = compressor.compress({});
  // Five experts in each layer; their matrices are of a size.
  std::map<std::string, double> bits;
  for (const weights::PlannedTensor& t : made.plan.tensors) {
    const size_t at = t.name.find(".experts.");
    if (at == std::string::npos) {
      EXPECT_TRUE(t.form.starts_with("uniform(4, ")) << t.name << t.form;
      continue;
    }
    const auto digit = static_cast<double>(t.form[sizeof("uniform(") - 1] - '0');
    const auto [expert, is_new] = bits.emplace(t.name.substr(0, at + 10), digit);
    EXPECT_EQ(expert->second, digit) << t.name;
  }
  ASSERT_EQ(bits.size(), 20u);
  double sum = 0;
  for (const auto& [expert, of] : bits) sum += of;
  EXPECT_LE(sum, 2 * 20);
  EXPECT_GT(sum, 1.7 * 20);
  EXPECT_NE(made.plan.note.find("experts that a token"), std::string::npos) << made.plan.note;

  archive::WriteOptions write;
  compressor.store(made, write);
  const model::testing::Folder out;
  archive::write_archive(compressor.inputs(made), out.path() / "m.pith", write);
  const model::LanguageModel loaded = model::load_model(out.path() / "m.pith");
  ASSERT_EQ(loaded.config().expert_thresholds, made.thresholds);
  for (uint32_t l = 0; l < 4; ++l) {
    EXPECT_GT(made.thresholds[l].ratio, 0);
    EXPECT_TRUE(std::isfinite(made.thresholds[l].importance));
  }
  EXPECT_EQ(weights::testing::some_logits(loaded),
            weights::testing::some_logits(
                weights::with_weights(*tiny_mixture().model, made.tensors, made.thresholds)));
}

TEST(Mixtures, LimitsThatDoNotHoldAndWrongOptionsAreRefused) {
  weights::CompressModelOptions options = options_of({{"windows", "1"}});
  options.size = {.tokens = 64, .window = 64};
  weights::ModelCompressor compressor(*tiny_mixture().model, tiny_mixture().inputs(),
                                      weights::default_calibration_text(), std::move(options));
  const auto bytes = static_cast<uint64_t>(compressor.plan({.bits = 32}).bytes);
  EXPECT_THROW(compressor.plan({.bytes = bytes - 1000}), Error);
  for (const auto& [key, value] : Values{{"levels", "3+2"},
                                         {"levels", ""},
                                         {"mean", "0.5"},
                                         {"others", "9"},
                                         {"share", "expert"},
                                         {"error", "-1"},
                                         {"drop", "101"},
                                         {"protect", "x"},
                                         {"group", "0"},
                                         {"windows", "0"}}) {
    Plan plan;
    try {
      apply(find_recipe("mc-moe"), {{key, value}}, plan);
      ADD_FAILURE() << key;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(key), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace pith::recipe
