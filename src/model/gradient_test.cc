#include "pith/model/gradient.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "pith/base/error.h"
#include "reference_decoder.h"
#include "testing_model.h"

namespace pith::model {
namespace {

using namespace testing;
using form::Matrix;
using form::MatrixView;

constexpr uint64_t kTokens = 9, kTexts = 2;
constexpr const char* kEmbedding = "model.embed_tokens.weight";

std::vector<int32_t> some_ids(const DecoderConfig& c, size_t n = kTokens * kTexts) {
  std::mt19937 random(3);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % c.vocabulary);
  return ids;
}

// Gradients at all weights that an observer can make.
using WeightGradients = std::map<std::string, std::vector<double>>;

GradientObserver into(WeightGradients& all, const DecoderConfig& c) {
  return {.linear =
              [&all](std::string_view tensor, MatrixView x, MatrixView dy) {
                ASSERT_EQ(x.shape.rows, dy.shape.rows);
                auto& sum = all[std::string(tensor)];
                sum.resize(dy.shape.cols * x.shape.cols);
                for (uint64_t t = 0; t < x.shape.rows; ++t) {
                  for (uint64_t r = 0; r < dy.shape.cols; ++r) {
                    for (uint64_t i = 0; i < x.shape.cols; ++i) {
                      sum[r * x.shape.cols + i] += double{dy.row(t)[r]} * x.row(t)[i];
                    }
                  }
                }
              },
          .embedding =
              [&all, &c](std::string_view tensor, std::span<const int32_t> ids, MatrixView dx) {
                auto& sum = all[std::string(tensor)];
                sum.resize(uint64_t{c.vocabulary} * c.width);
                for (uint64_t t = 0; t < ids.size(); ++t) {
                  double* row = sum.data() + static_cast<uint64_t>(ids[t]) * c.width;
                  for (uint64_t i = 0; i < c.width; ++i) row[i] += dx.row(t)[i];
                }
              }};
}

// The loss of next tokens in double precision.
double reference_loss(const DecoderConfig& c, const Tensors& tensors,
                      std::span<const int32_t> ids) {
  const MemoryWeights source(c, tensors);
  double loss = 0;
  for (uint64_t text = 0; text < kTexts; ++text) {
    ReferenceDecoder reference(source, kTokens);
    for (uint64_t t = 0; t + 1 < kTokens; ++t) {
      const Doubles logits = reference.feed(ids[text * kTokens + t]);
      double sum = 0;
      for (const double v : logits) sum += std::exp(v);
      loss += std::log(sum) - logits[static_cast<uint64_t>(ids[text * kTokens + t + 1])];
    }
  }
  return loss;
}

// Along a random direction in the space of one tensor, the loss changes as the gradient says.
void expect_slope(const DecoderConfig& c, const Tensors& tensors, const std::string& name,
                  const std::vector<double>& gradient, std::span<const int32_t> ids) {
  Tensors more = tensors, less = tensors;
  std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>()(name)));
  std::normal_distribution<float> normal(0, 1e-4F);
  std::vector<float>&above = more[name].values, &below = less[name].values;
  ASSERT_EQ(gradient.size(), above.size()) << name;
  double slope = 0, size = 0;
  for (size_t i = 0; i < above.size(); ++i) {
    const float step = normal(random);
    above[i] += step;
    below[i] -= step;
    const double part = gradient[i] * (double{above[i]} - below[i]);
    slope += part;
    size += part * part;
  }
  const double wanted = reference_loss(c, more, ids) - reference_loss(c, less, ids);
  EXPECT_NEAR(slope, wanted, 1e-3 * std::sqrt(size)) << name;
  EXPECT_GT(size, 0) << name;
}

void expect_gradients(const DecoderConfig& c, uint32_t seed = 1) {
  check(c);
  const Tensors tensors = random_tensors(c, seed);
  const LanguageModel model = make_model(MemoryWeights(c, tensors));
  const std::vector<int32_t> ids = some_ids(c);
  WeightGradients gradients;
  GradientPass pass(model, kTokens, 1, next_token_loss());
  const double loss = pass.run(ids, into(gradients, c));
  EXPECT_NEAR(loss, reference_loss(c, tensors, ids), 1e-4 * loss);
  uint64_t seen = 0;
  for (const auto& [name, tensor] : tensors) {
    const bool router = name.ends_with("block_sparse_moe.gate.weight") ||
                        name.ends_with("mlp.gate.weight") ||
                        name.ends_with("shared_expert_gate.weight");
    if (tensor.shape.size() < 2 || router) continue;
    const auto there = gradients.find(name);
    // An expert that no token chose is not shown.
    if (there == gradients.end() && name.find(".experts.") != std::string::npos) continue;
    ASSERT_NE(there, gradients.end()) << name;
    expect_slope(c, tensors, name, there->second, ids);
    ++seen;
  }
  EXPECT_EQ(seen, gradients.size());
}

TEST(Gradient, IsTheSlopeOfTheLoss) { expect_gradients(small_config()); }

TEST(Gradient, IsItInBothLayoutsOfRotations) {
  DecoderConfig c = small_config();
  c.rope_layout = RopeLayout::kPairs;
  c.rope_size = 12;  // part of a head
  expect_gradients(c);
  c.rope_layout = RopeLayout::kHalves;
  c.rope_scaling.kind = RopeScaling::Kind::kYarn;
  c.rope_scaling.factor = 4;
  c.rope_scaling.original_context = 8;
  expect_gradients(c);
}

TEST(Gradient, IsItThroughWindowsTiesAndBiases) {
  DecoderConfig c = small_config(Architecture::kMistral);
  c.windows = {0, 4, 2};
  c.tied_embeddings = true;
  expect_gradients(c);
  c = small_config(Architecture::kQwen2);
  c.output_bias = c.mlp_bias = true;
  expect_gradients(c);
}

TEST(Gradient, IsItThroughNormsOfHeads) { expect_gradients(small_config(Architecture::kQwen3)); }

// The loss jumps where two experts are equally good: of these models no token is near that.
TEST(Gradient, IsItThroughExperts) {
  for (const Architecture architecture :
       {Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    SCOPED_TRACE(hf_name(architecture));
    expect_gradients(small_experts(architecture), 5);
  }
}

// Texts that attention works off in several blocks, against the same loss one layer up: the slope
// along the embeddings, by single precision.
TEST(Gradient, IsItForLongTexts) {
  DecoderConfig c = small_config();
  c.layers = 2;
  c.windows = {0, 50};
  const Tensors tensors = random_tensors(c);
  const std::vector<int32_t> ids = some_ids(c, 200);
  WeightGradients gradients;
  // A loss that is linear in the logits, so that differences lose little.
  const std::vector<int32_t>* targets = &ids;
  const Loss linear = [targets](const LossRows& rows, Matrix& logits) {
    double sum = 0;
    for (uint64_t r = 0; r < logits.shape.rows; ++r) {
      const auto at = static_cast<uint64_t>((*targets)[rows.first + r]);
      sum += logits.row(r)[at];
      std::ranges::fill(logits.row(r), 0.0F);
      logits.row(r)[at] = 1;
    }
    return sum;
  };
  const auto loss = [&](const Tensors& with) {
    const LanguageModel model = make_model(MemoryWeights(c, with));
    return GradientPass(model, 200, 1, linear).run(ids, {});
  };
  GradientPass(make_model(MemoryWeights(c, tensors)), 200, 1, linear).run(ids, into(gradients, c));
  for (const char* name : {kEmbedding, "model.layers.0.self_attn.k_proj.weight",
                           "model.layers.1.self_attn.v_proj.weight"}) {
    Tensors more = tensors, less = tensors;
    double slope = 0;
    const std::vector<double>& gradient = gradients[name];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const auto step = static_cast<float>(gradient[i] > 0 ? 1e-3 : -1e-3);
      more[name].values[i] += step;
      less[name].values[i] -= step;
      slope += 2 * step * gradient[i];
    }
    EXPECT_NEAR(loss(more) - loss(less), slope, 2e-2 * slope) << name;
  }
}

TEST(Gradient, IsTheSameOnAllThreads) {
  for (const Architecture architecture : {Architecture::kQwen3, Architecture::kQwen2Moe}) {
    const bool mixes = architecture == Architecture::kQwen2Moe;
    const DecoderConfig c = mixes ? small_experts(architecture) : small_config(architecture);
    const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
    const std::vector<int32_t> ids = some_ids(c, 40 * 60);
    const auto run = [&](int threads) {
      std::vector<float> all;
      const double loss =
          GradientPass(model, 40, threads)
              .run(ids, {.linear =
                             [&](std::string_view, MatrixView x, MatrixView dy) {
                               all.insert(all.end(), x.data, x.data + x.shape.size());
                               all.insert(all.end(), dy.data, dy.data + dy.shape.size());
                             },
                         .embedding = {}});
      all.push_back(static_cast<float>(loss));
      return all;
    };
    const std::vector<float> one = run(1);
    EXPECT_EQ(run(2), one);
    EXPECT_EQ(run(3), one);
  }
}

TEST(Gradient, TargetsFollowTheDistributionAndTheSeed) {
  const std::vector<float> p = {0.5F, 0.125F, 0.0F, 0.375F};
  constexpr uint64_t kRows = 4000;
  Matrix logits(form::Shape{kRows, 4});
  for (uint64_t r = 0; r < kRows; ++r) {
    for (uint64_t i = 0; i < 4; ++i) logits.row(r)[i] = std::log(p[i]);
  }
  const std::vector<int32_t> next(kRows, -1);  // makes no difference
  Matrix one = logits, other = logits, again = logits;
  sampled_loss(1)({0, next}, one);
  sampled_loss(2)({0, next}, other);
  sampled_loss(1, 2)({0, next}, again);
  EXPECT_EQ(one.values, again.values);
  EXPECT_NE(one.values, other.values);
  std::vector<double> drawn(4);
  for (uint64_t r = 0; r < kRows; ++r) {
    float sum = 0;
    for (uint64_t i = 0; i < 4; ++i) {
      sum += one.row(r)[i];
      if (one.row(r)[i] < 0) drawn[i] += 1;
    }
    ASSERT_NEAR(sum, 0, 1e-6);
  }
  for (uint64_t i = 0; i < 4; ++i) EXPECT_NEAR(drawn[i] / kRows, p[i], 0.03) << i;
  // A row's target is its own, whatever batch it comes in.
  Matrix part(form::Shape{10, 4});
  std::copy_n(logits.values.data(), 40, part.values.data());
  sampled_loss(1)({1000, std::span(next).first(10)}, part);
  EXPECT_TRUE(std::equal(part.values.begin(), part.values.end(), one.row(1000).begin()));
}

TEST(Gradient, OfNextTokensLeavesOutTheEndsOfTexts) {
  Matrix logits(form::Shape{2, 3});
  const std::vector<int32_t> next = {2, -1};
  EXPECT_NEAR(next_token_loss()({0, next}, logits), std::log(3.0), 1e-6);
  EXPECT_NEAR(logits.row(0)[2], -2.0 / 3, 1e-6);
  EXPECT_EQ(logits.values[3], 0);
  EXPECT_EQ(logits.values[5], 0);
}

TEST(Gradient, OfCompressedWeightsIsThatOfWhatTheyDecodeTo) {
  const DecoderConfig c = small_config();
  Tensors tensors = random_tensors(c);
  LanguageModel::Parts parts;
  const LanguageModel plain = make_model(MemoryWeights(c, tensors));
  parts.config = c;
  parts.weights = plain.weights();
  Linear& up = parts.weights.layers[1].feed_forward->up;
  up.weight = form::encode(form::parse("uniform(8, group=22)"), form::decode(*up.weight).view());
  tensors["model.layers.1.mlp.up_proj.weight"].values = form::decode(*up.weight).values;
  const LanguageModel decoded = make_model(MemoryWeights(c, tensors));
  WeightGradients got, wanted;
  const std::vector<int32_t> ids = some_ids(c);
  GradientPass(LanguageModel(parts), kTokens, 1, next_token_loss()).run(ids, into(got, c));
  GradientPass(decoded, kTokens, 1, next_token_loss()).run(ids, into(wanted, c));
  for (const auto& [name, gradient] : wanted) {
    double error = 0, size = 0;
    for (size_t i = 0; i < gradient.size(); ++i) {
      error += std::pow(got[name][i] - gradient[i], 2);
      size += std::pow(gradient[i], 2);
    }
    EXPECT_LT(error, 1e-3 * size) << name;
  }
}

TEST(Gradient, RefusesWhatCannotBe) {
  const DecoderConfig c = small_config();
  Tensors tensors = random_tensors(c);
  const LanguageModel model = make_model(MemoryWeights(c, tensors));
  EXPECT_THROW(GradientPass(model, 0), Error);
  for (const uint64_t many : {uint64_t{1} << 32, uint64_t{1} << 50, UINT64_MAX}) {
    try {
      GradientPass pass(model, many);
      ADD_FAILURE() << "no memory is enough for " << many;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kLimit);
    }
  }
  GradientPass pass(model, 5);
  EXPECT_GT(pass.needed_bytes(), 0u);
  EXPECT_THROW(pass.run(std::vector<int32_t>(7), {}), Error);
  EXPECT_THROW(pass.run(std::vector<int32_t>{0, 1, 2, 3, 67}, {}), Error);
  EXPECT_EQ(pass.run({}, {}), 0);
  tensors["model.layers.1.mlp.up_proj.weight"].values[5] = std::numeric_limits<float>::quiet_NaN();
  const LanguageModel broken = make_model(MemoryWeights(c, tensors));
  try {
    GradientPass(broken, 5).run(std::vector<int32_t>(5), {});
    ADD_FAILURE() << "NaN has no gradient";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
  }
}

}  // namespace
}  // namespace pith::model
