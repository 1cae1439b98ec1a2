#include "pith/model/session.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "pith/base/error.h"
#include "reference_decoder.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;
using form::MatrixView;

std::vector<int32_t> some_ids(const DecoderConfig& c, size_t n, uint32_t seed = 3) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % c.vocabulary);
  return ids;
}

std::vector<float> copied(MatrixView m) { return {m.data, m.data + m.shape.size()}; }

std::vector<float> all_logits(const LanguageModel& model, std::span<const int32_t> ids,
                              uint64_t capacity, int threads = 1) {
  Session session(model, capacity, threads);
  return copied(session.feed(ids, Logits::kAll));
}

// The largest difference to the reference, relative to the largest logit.
double error_against_reference(const WeightSource& source, std::span<const int32_t> ids,
                               const std::vector<float>& logits, uint64_t capacity) {
  ReferenceDecoder reference(source, capacity);
  double worst = 0, scale = 0;
  size_t k = 0;
  for (const int32_t id : ids) {
    for (const double wanted : reference.feed(id)) {
      scale = std::max(scale, std::abs(wanted));
      worst = std::max(worst, std::abs(wanted - logits[k++]));
    }
  }
  return worst / scale;
}

// What holds for a model of every architecture, layout and scaling.
void expect_right(const DecoderConfig& config, size_t length = 40) {
  check(config);
  const MemoryWeights source(config, random_tensors(config));
  const LanguageModel model = make_model(source);
  const std::vector<int32_t> ids = some_ids(config, length);
  const uint64_t capacity = length + 3;
  const std::vector<float> logits = all_logits(model, ids, capacity);
  EXPECT_LT(error_against_reference(source, ids, logits, capacity), 1e-5);

  // Two threads give the same bits.
  EXPECT_EQ(all_logits(model, ids, capacity, 2), logits);

  // Token by token, and in two parts, is the same up to rounding.
  Session session(model, capacity);
  double worst = 0;
  for (size_t k = 0; k < ids.size(); ++k) {
    const MatrixView row = session.feed(std::span(ids).subspan(k, 1));
    ASSERT_EQ(row.shape, (form::Shape{1, config.vocabulary}));
    for (size_t i = 0; i < config.vocabulary; ++i) {
      worst = std::max(worst, std::abs(double{row.data[i]} - logits[k * config.vocabulary + i]));
    }
  }
  EXPECT_LT(worst, 1e-4);
}

TEST(Session, LlamaIsAsTheReference) { expect_right(small_config()); }

struct Seen {
  uint64_t rows = 0, cols = 0;
};

// How many inputs each weight was shown.
std::map<std::string, Seen> watch(const LanguageModel& model, std::span<const int32_t> ids,
                                  Logits which, std::vector<float>& logits, int threads = 1) {
  std::map<std::string, Seen> seen;
  Session session(model, ids.size(), threads);
  session.observe([&](std::span<const std::string_view> tensors, MatrixView inputs) {
    for (const std::string_view name : tensors) {
      Seen& s = seen[std::string(name)];
      s.rows += inputs.shape.rows;
      s.cols = inputs.shape.cols;
    }
  });
  logits = copied(session.feed(ids, which));
  return seen;
}

TEST(Session, ObserversSeeTheInputsOfAllLinearLayers) {
  DecoderConfig c = small_config();
  const MemoryWeights source(c, random_tensors(c));
  const LanguageModel model = make_model(source);
  const std::vector<int32_t> ids = some_ids(c, 600);  // more than a chunk
  Session plain(model, 600);
  for (const Logits which : {Logits::kAll, Logits::kLast, Logits::kNone}) {
    plain.rewind(0);
    const std::vector<float> wanted = copied(plain.feed(ids, which));
    std::vector<float> logits;
    const auto seen = watch(model, ids, which, logits, 2);
    EXPECT_EQ(logits, wanted);
    for (const auto& [name, s] : seen) {
      if (name.starts_with("model.layers.")) {
        EXPECT_EQ(s.rows, 600u) << name;
      }
      EXPECT_EQ(s.cols, source.form(name)->shape().cols) << name;
    }
    EXPECT_EQ(seen.size(), c.layers * 7 + (which == Logits::kNone ? 0 : 1));
  }
}

TEST(Session, ObserversDoNotChangeTheReferenceModel) {
  const LanguageModel model = load_model(source_root() / "data/lm");
  const std::vector<int32_t> ids = model.tokenizer()->encode("It was a dark and stormy night.");
  std::vector<float> logits;
  const auto seen = watch(model, ids, Logits::kAll, logits);
  EXPECT_EQ(logits, all_logits(model, ids, ids.size()));
  EXPECT_EQ(seen.size(), 8u * 7 + 1);
  EXPECT_EQ(seen.at("model.layers.7.mlp.down_proj.weight").rows, ids.size());
  EXPECT_EQ(seen.at("model.layers.7.mlp.down_proj.weight").cols, 768u);
}

TEST(Session, ObserversSeeTheRowsOfExperts) {
  for (const Architecture architecture : {Architecture::kMixtral, Architecture::kQwen2Moe}) {
    const DecoderConfig c = small_experts(architecture);
    const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
    const std::vector<int32_t> ids = some_ids(c, 50);
    std::vector<float> logits;
    const auto seen = watch(model, ids, Logits::kAll, logits);
    EXPECT_EQ(logits, all_logits(model, ids, 50));
    const Experts& experts = *model.weights().layers.back().experts;
    uint64_t rows = 0;
    for (const FeedForward& expert : experts.experts) {
      for (const Linear* l : {&expert.gate, &expert.up, &expert.down}) {
        if (seen.contains(l->name)) rows += seen.at(l->name).rows;
      }
    }
    EXPECT_EQ(rows, 3 * ids.size() * c.experts_per_token);
    if (experts.shared) {
      EXPECT_EQ(seen.at(experts.shared->down.name).rows, ids.size());
    }
  }
}

TEST(Session, ObserversSeeWhatLayersMultiply) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  form::Matrix product;
  Session session(model, 20);
  session.observe([&](std::span<const std::string_view> tensors, MatrixView inputs) {
    if (tensors[0] == model.weights().head.name) {
      form::apply(*model.weights().head.weight, inputs, product);
    }
  });
  EXPECT_EQ(copied(session.feed(some_ids(c, 20), Logits::kAll)), product.values);
  session.observe(
      [](std::span<const std::string_view>, MatrixView) { fail(ErrorKind::kUsage, "enough"); });
  session.rewind(0);
  EXPECT_THROW(session.feed(some_ids(c, 3)), Error);
  EXPECT_EQ(session.position(), 0u);
  session.observe({});
  session.feed(some_ids(c, 3));
  EXPECT_EQ(session.position(), 3u);
}

TEST(Session, OneHeadPerKeyAndOneKeyForAll) {
  DecoderConfig c = small_config();
  c.kv_heads = c.heads;
  expect_right(c);
  c.kv_heads = 1;
  expect_right(c);
}

TEST(Session, HeadsOfManySizes) {
  for (const uint32_t size : {2U, 6U, 16U, 34U, 64U, 80U, 128U}) {
    DecoderConfig c = small_config();
    c.layers = 1;
    c.head_size = c.rope_size = size;
    expect_right(c, 9);
    c.rope_layout = RopeLayout::kPairs;
    expect_right(c, 9);
  }
}

TEST(Session, TiedEmbeddings) {
  DecoderConfig c = small_config();
  c.tied_embeddings = true;
  expect_right(c);
}

TEST(Session, Qwen2HasBiases) { expect_right(small_config(Architecture::kQwen2)); }

TEST(Session, BiasesEverywhere) {
  DecoderConfig c = small_config();
  c.qkv_bias = c.output_bias = c.mlp_bias = true;
  expect_right(c);
}

TEST(Session, Qwen3NormsHeads) { expect_right(small_config(Architecture::kQwen3)); }

TEST(Session, SlidingWindows) {
  DecoderConfig c = small_config(Architecture::kMistral);
  for (const uint32_t window : {1U, 7U, 39U}) {
    c.windows = {window, 0, window + 1};
    expect_right(c);
  }
}

TEST(Session, ExpertsOfEachKind) {
  for (const auto architecture :
       {Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    expect_right(small_experts(architecture));
  }
  DecoderConfig c = small_experts(Architecture::kQwen3Moe);
  c.dense_layers = {true, false, true};
  c.experts_per_token = 5;
  expect_right(c);
}

// In layers 0 and 2 some rows lose experts, in layer 2 not those of some importance.
DecoderConfig thinned(Architecture architecture) {
  DecoderConfig c = small_experts(architecture);
  c.experts_per_token = 3;
  c.expert_thresholds = {{.ratio = 0.4F}, {}, {.ratio = 1, .importance = 12}};
  return c;
}

TEST(Session, ExpertsBelowThresholdsAreLeftOut) {
  for (const auto architecture :
       {Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    const DecoderConfig c = thinned(architecture);
    expect_right(c);
    Session session(make_model(MemoryWeights(c, random_tensors(c))), 40);
    std::vector<size_t> visits, protected_rows;
    session.observe_routing([&](const RoutedRows& rows) {
      visits.push_back(rows.choices.size());
      protected_rows.push_back(0);
      for (const float v : rows.importance) protected_rows.back() += v >= 12 ? 1 : 0;
    });
    session.feed(some_ids(c, 40), Logits::kAll);
    ASSERT_EQ(visits.size(), 3u);
    EXPECT_TRUE(visits[0] > 40 && visits[0] < 120) << visits[0];
    EXPECT_EQ(visits[1], 120u);
    // A ratio of 1 leaves the heaviest alone, but of protected rows.
    EXPECT_EQ(visits[2], 40 + 2 * protected_rows[2]);
    EXPECT_TRUE(protected_rows[2] > 0 && protected_rows[2] < 40) << protected_rows[2];
  }
}

TEST(Session, EachRopeScaling) {
  using Kind = RopeScaling::Kind;
  for (const auto kind :
       {Kind::kLinear, Kind::kLlama3, Kind::kYarn, Kind::kDynamic, Kind::kLongRope}) {
    DecoderConfig c = small_config();
    c.rope_scaling.kind = kind;
    c.rope_scaling.factor = kind == Kind::kLongRope ? 1 : 4;
    c.rope_scaling.original_context = 24;
    for (int i = 0; i < 10; ++i) {
      c.rope_scaling.short_factors.push_back(1 + 0.1 * i);
      c.rope_scaling.long_factors.push_back(1 + 0.5 * i);
    }
    SCOPED_TRACE(static_cast<int>(kind));
    expect_right(c);      // longer than the first context
    expect_right(c, 16);  // shorter
  }
}

TEST(Session, RotationOfAPartAndDivisors) {
  DecoderConfig c = small_config();
  c.rope_size = 12;
  c.rope_scaling.attention_factor = 1.25;
  c.rope_scaling.divisors = {1, 1, 1.5, 2, 8, 8};
  expect_right(c);
  c.rope_layout = RopeLayout::kPairs;
  expect_right(c);
}

// Any sizes, layouts and lists that check() lets through.
DecoderConfig drawn_config() {
  const auto upto = [](uint32_t most) { return *rc::gen::inRange<uint32_t>(1, most + 1); };
  const auto architecture =
      *rc::gen::element(Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3,
                        Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe);
  const bool experts =
      architecture == Architecture::kMixtral || architecture >= Architecture::kQwen2Moe;
  DecoderConfig c = experts ? small_experts(architecture) : small_config(architecture);
  c.layers = upto(3);
  c.vocabulary = upto(50);
  c.width = upto(70);
  c.kv_heads = upto(4);
  c.heads = c.kv_heads * upto(5);
  c.head_size = 2 * upto(40);
  c.rope_size = 2 * upto(c.head_size / 2);
  c.feed_forward = upto(90);
  if (experts) {
    c.experts = upto(6);
    c.experts_per_token = upto(c.experts);
    c.expert_feed_forward = upto(40);
    for (uint32_t l = 0; l < c.layers; ++l) c.dense_layers.push_back(*rc::gen::arbitrary<bool>());
  }
  for (uint32_t l = 0; l < c.layers; ++l) c.windows.push_back(upto(20) - 1);
  c.tied_embeddings = *rc::gen::arbitrary<bool>();
  c.rope_layout = *rc::gen::element(RopeLayout::kHalves, RopeLayout::kPairs);
  c.rope_scaling.kind = *rc::gen::element(RopeScaling::Kind::kNone, RopeScaling::Kind::kLlama3,
                                          RopeScaling::Kind::kYarn);
  c.rope_scaling.factor = upto(8);
  return c;
}

TEST(Session, AnyConfigIsAsTheReference) {
  const bool holds = rc::check("logits are those of the reference", [] {
    const DecoderConfig c = drawn_config();
    check(c);
    const MemoryWeights source(c, random_tensors(c, *rc::gen::arbitrary<uint32_t>()));
    const LanguageModel model = make_model(source);
    const auto ids = some_ids(c, *rc::gen::inRange<size_t>(1, 30));
    Session session(model, ids.size());
    // Cut anywhere.
    const size_t cut = *rc::gen::inRange<size_t>(0, ids.size() + 1);
    std::vector<float> logits = copied(session.feed(std::span(ids).first(cut), Logits::kAll));
    const auto more = copied(session.feed(std::span(ids).subspan(cut), Logits::kAll));
    logits.insert(logits.end(), more.begin(), more.end());
    // Of random weights, floats lose up to 4.4e-4 of the largest logit in some configurations.
    RC_ASSERT(error_against_reference(source, ids, logits, ids.size()) < 1e-3);
  });
  EXPECT_TRUE(holds);
}

TEST(Session, TextsLongerThanTilesAndChunks) {
  DecoderConfig c = small_config();
  c.layers = 2;
  c.context = 4096;
  expect_right(c, 600);
  c.windows = {140, 300};
  expect_right(c, 600);
}

TEST(Session, ThreadsGiveTheSameBits) {
  // Large enough that every loop is shared out.
  DecoderConfig c = small_experts(Architecture::kQwen3Moe);
  c.layers = 2;
  c.dense_layers = {true, false};
  c.width = 256;
  c.head_size = c.rope_size = 32;
  c.feed_forward = 512;
  c.expert_feed_forward = 128;
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const std::vector<int32_t> ids = some_ids(c, 540);
  const std::vector<float> logits = all_logits(model, ids, 600);
  for (const int threads : {2, 3}) {
    Session session(model, 600, threads);
    EXPECT_EQ(copied(session.feed(ids, Logits::kAll)), logits);
  }
  Session one(model, 600, 1), two(model, 600, 2);
  one.feed(ids);
  two.feed(ids);
  EXPECT_EQ(copied(one.feed(std::span(ids).first(1))), copied(two.feed(std::span(ids).first(1))));
}

TEST(Session, HalfPrecisionWeights) {
  const DecoderConfig c = small_config();
  for (const DType type : {DType::kF16, DType::kBF16}) {
    const MemoryWeights source(c, random_tensors(c), type);
    const std::vector<int32_t> ids = some_ids(c, 20);
    const auto logits = all_logits(make_model(source), ids, 20);
    // Kernels may round vectors to bf16; the reference does not.
    EXPECT_LT(error_against_reference(source, ids, logits, 20), 2e-2);
  }
}

TEST(Session, LastLogitsAreThoseOfAll) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const std::vector<int32_t> ids = some_ids(c, 30);
  const std::vector<float> all = all_logits(model, ids, 30);
  Session session(model, 30);
  EXPECT_EQ(session.feed(std::span(ids).first(11), Logits::kNone).shape,
            (form::Shape{0, c.vocabulary}));
  EXPECT_EQ(session.position(), 11U);
  const MatrixView last = session.feed(std::span(ids).subspan(11));
  for (size_t i = 0; i < c.vocabulary; ++i) {
    EXPECT_NEAR(last.data[i], all[29 * c.vocabulary + i], 1e-4);
  }
}

TEST(Session, RewindForgets) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const std::vector<int32_t> ids = some_ids(c, 20), others = some_ids(c, 20, 9);
  Session session(model, 20);
  const std::vector<float> first = copied(session.feed(ids));
  session.rewind(5);
  session.feed(std::span(others).first(15));
  session.rewind(5);
  EXPECT_EQ(session.position(), 5U);
  const std::vector<float> again = copied(session.feed(std::span(ids).subspan(5)));
  for (size_t i = 0; i < c.vocabulary; ++i) EXPECT_NEAR(again[i], first[i], 1e-4);
  EXPECT_SAYS([&] { session.rewind(21); }, "position 21 is past 20");
}

TEST(Session, RefusesWhatDoesNotFit) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  Session session(model, 10);
  const std::vector<int32_t> ids = some_ids(c, 11);
  EXPECT_SAYS([&] { session.feed(ids); }, "11 tokens after 0 are more than the context of 10");
  EXPECT_SAYS([&] { session.feed(std::vector<int32_t>{1, 67}); }, "token 67 is outside");
  EXPECT_SAYS([&] { session.feed(std::vector<int32_t>{-1}); }, "token -1 is outside");
  EXPECT_EQ(session.position(), 0U);
  EXPECT_EQ(session.feed(std::span(ids).first(10)).shape.rows, 1U);
  EXPECT_EQ(session.feed({}).shape.rows, 0U);
  EXPECT_SAYS([&] { Session(model, 0); }, "at least 1 position");
  EXPECT_SAYS([&] { Session(model, uint64_t{1} << 45); }, "keys and values");
  EXPECT_SAYS([&] { Session(model, UINT64_MAX); }, "keys and values");
}

TEST(Session, NanAndInfinityGoThrough) {
  const DecoderConfig c = small_experts(Architecture::kMixtral);
  Tensors tensors = random_tensors(c);
  for (auto& [name, tensor] : tensors) {
    tensor.values[0] = std::numeric_limits<float>::quiet_NaN();
    tensor.values[1] = std::numeric_limits<float>::infinity();
  }
  const LanguageModel model = make_model(MemoryWeights(c, tensors));
  const auto logits = all_logits(model, some_ids(c, 20), 20);
  EXPECT_TRUE(std::isnan(logits[5]));
}

}  // namespace
}  // namespace pith::model
