#include "pith/model/sampler.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "pith/base/error.h"

namespace pith::model {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Every step off.
SamplerOptions plain() {
  return {.temperature = 1, .top_k = 0, .typical = 1, .top_p = 1, .min_p = 0, .seed = 7};
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature = 1) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  double sum = 0;
  for (const float logit : logits) sum += p.emplace_back(std::exp((logit - largest) / temperature));
  for (double& x : p) x /= sum;
  return p;
}

std::vector<double> frequencies(const SamplerOptions& options, const std::vector<float>& logits,
                                int draws) {
  Sampler sampler(options);
  std::vector<double> counts(logits.size());
  for (int i = 0; i < draws; ++i) counts[static_cast<size_t>(sampler.sample(logits))] += 1;
  for (double& count : counts) count /= draws;
  return counts;
}

std::set<int32_t> left(const SamplerOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options);
  sampler.sample(logits);
  std::set<int32_t> ids;
  for (const auto& c : sampler.candidates()) ids.insert(c.id);
  return ids;
}

std::vector<float> any_logits() {
  const auto steps =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-400, 400)));
  std::vector<float> logits;
  for (const int step : steps) logits.push_back(static_cast<float>(step) / 32);
  return logits;
}

TEST(Sampler, FrequenciesAreTheSoftmax) {
  const std::vector<float> logits = {1.5f, -0.5f, 0, 2, -8};
  for (const double temperature : {0.5, 1.0, 2.0}) {
    SamplerOptions options = plain();
    options.temperature = temperature;
    constexpr int kDraws = 200000;
    const auto expected = softmax(logits, temperature);
    const auto got = frequencies(options, logits, kDraws);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double error = std::sqrt(expected[i] * (1 - expected[i]) / kDraws);
      EXPECT_NEAR(got[i], expected[i], 4.5 * error + 1e-5) << i;
    }
  }
}

TEST(Sampler, SeedDecidesTheTokens) {
  // These tokens are those of any machine.
  Sampler sampler(plain());
  std::vector<int32_t> ids;
  const std::vector<float> logits(1000, 0.f);
  for (int i = 0; i < 8; ++i) ids.push_back(sampler.sample(logits));
  EXPECT_EQ(ids, (std::vector<int32_t>{389, 16, 900, 582, 452, 249, 467, 328}));
  SamplerOptions other = plain();
  other.seed = 8;
  Sampler second(other);
  std::vector<int32_t> others;
  for (int i = 0; i < 8; ++i) others.push_back(second.sample(logits));
  EXPECT_NE(ids, others);
}

RC_GTEST_PROP(SamplerProperty, ProbabilitiesAreTheSoftmax, ()) {
  const auto logits = any_logits();
  Sampler sampler(plain());
  sampler.sample(logits);
  const auto expected = softmax(logits);
  RC_ASSERT(sampler.candidates().size() == logits.size());
  for (const auto& c : sampler.candidates()) {
    RC_ASSERT(std::abs(c.probability - expected[static_cast<size_t>(c.id)]) < 1e-12);
  }
}

RC_GTEST_PROP(SamplerProperty, TemperatureZeroTakesTheFirstLargest, ()) {
  const auto logits = any_logits();
  SamplerOptions options = plain();
  options.temperature = 0;
  const auto largest = std::max_element(logits.begin(), logits.end());
  RC_ASSERT(Sampler(options).sample(logits) == largest - logits.begin());
}

RC_GTEST_PROP(SamplerProperty, TopKKeepsTheLargest, ()) {
  // Long enough that the pass over the logits trims what it gathers.
  const auto logits = *rc::gen::resize(1000, rc::gen::exec(any_logits));
  SamplerOptions options = plain();
  options.top_k = *rc::gen::inRange<uint32_t>(1, 50);
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  order.resize(std::min<size_t>(order.size(), options.top_k));
  RC_ASSERT(left(options, logits) == std::set<int32_t>(order.begin(), order.end()));
}

RC_GTEST_PROP(SamplerProperty, TopPKeepsTheSmallestSet, ()) {
  const auto logits = any_logits();
  SamplerOptions options = plain();
  options.top_p = *rc::gen::inRange(1, 100) / 100.0;
  const auto p = softmax(logits);
  const auto kept = left(options, logits);
  double sum = 0, least = 1, most_outside = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const bool in = kept.contains(static_cast<int32_t>(i));
    if (in) sum += p[i];
    if (in) least = std::min(least, p[i]);
    if (!in) most_outside = std::max(most_outside, p[i]);
  }
  RC_ASSERT(sum >= options.top_p - 1e-9);
  RC_ASSERT(kept.size() == 1 || sum - least < options.top_p + 1e-9);
  RC_ASSERT(least >= most_outside);
}

RC_GTEST_PROP(SamplerProperty, MinPKeepsWhatIsNearTheLargest, ()) {
  const auto logits = any_logits();
  SamplerOptions options = plain();
  options.min_p = *rc::gen::inRange(1, 101) / 100.0;
  const auto p = softmax(logits);
  const double largest = *std::max_element(p.begin(), p.end());
  const auto kept = left(options, logits);
  RC_ASSERT(!kept.empty());
  for (size_t i = 0; i < p.size(); ++i) {
    if (std::abs(p[i] - options.min_p * largest) < 1e-9) continue;
    RC_ASSERT(kept.contains(static_cast<int32_t>(i)) == (p[i] > options.min_p * largest));
  }
}

TEST(Sampler, TypicalLeavesOutTheObvious) {
  // Entropy of (0.5, 0.125, 0.125, 0.125, 0.125) is 2 bits: surprises 1 and 3 are equally far; of
  // (0.7, 0.1 × 3) it is 1.36, nearer to 0.51 than to 3.32.
  SamplerOptions options = plain();
  options.typical = 0.5;
  std::vector<float> logits = {std::log(0.7f), std::log(0.1f), std::log(0.1f), std::log(0.1f)};
  EXPECT_EQ(left(options, logits), std::set<int32_t>{0});
  // 0.3 and 20 × 0.035: entropy 3.4 nats, surprises 1.2 and 3.35: the obvious token goes last.
  logits.assign(21, std::log(0.035f));
  logits[0] = std::log(0.3f);
  const auto kept = left(options, logits);
  EXPECT_EQ(kept.size(), 15u);
  EXPECT_FALSE(kept.contains(0));
}

TEST(Sampler, StepsComeInTheirOrder) {
  // Top-k renormalizes before top-p: of 0.4 0.3 0.2 0.1, k = 2 leaves 4/7 and 3/7, and p = 0.5 the
  // first; without k it would leave two.
  const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.2f),
                                     std::log(0.1f)};
  SamplerOptions options = plain();
  options.top_p = 0.5;
  EXPECT_EQ(left(options, logits).size(), 2u);
  options.top_k = 2;
  EXPECT_EQ(left(options, logits).size(), 1u);
  // The temperature comes after top-p: it does not change who is left.
  options = plain();
  options.top_p = 0.5;
  options.temperature = 100;
  EXPECT_EQ(left(options, logits).size(), 2u);
}

TEST(Sampler, Penalties) {
  const std::vector<float> logits = {2, -1, 1, 0};
  const auto after = [&](SamplerOptions options, std::vector<int32_t> accepted) {
    options.temperature = 1;
    Sampler sampler(options);
    sampler.accept(accepted);
    sampler.sample(logits);
    std::vector<double> result(logits.size());
    for (const auto& c : sampler.candidates()) result[static_cast<size_t>(c.id)] = c.logit;
    return result;
  };
  SamplerOptions options = plain();
  options.repeat_penalty = 2;
  EXPECT_EQ(after(options, {0, 1, 0}), (std::vector<double>{1, -2, 1, 0}));
  options = plain();
  options.frequency_penalty = 0.5;
  options.presence_penalty = 0.25;
  EXPECT_EQ(after(options, {0, 3, 0}), (std::vector<double>{0.75, -1, 1, -0.75}));
  options.penalty_window = 2;
  EXPECT_EQ(after(options, {0, 3, 0}), (std::vector<double>{1.25, -1, 1, -0.75}));
  options.penalty_window = 0;
  EXPECT_EQ(after(options, {0, 3, 0}), (std::vector<double>{2, -1, 1, 0}));
}

TEST(Sampler, Bias) {
  SamplerOptions options = plain();
  options.temperature = 0;
  options.logit_bias = {{0, -kInfinity}, {2, 3.5}};
  EXPECT_EQ(Sampler(options).sample(std::vector<float>{9, 2, 1}), 2);
  options.logit_bias = {{3, 1.0}};
  EXPECT_THROW(Sampler(options).sample(std::vector<float>{9, 2, 1}), Error);
}

TEST(Sampler, OddLogits) {
  Sampler sampler(plain());
  EXPECT_EQ(sampler.sample(std::vector<float>{-kInfinity, 1, -kInfinity}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{3.4e38f, -3.4e38f}), 0);
  EXPECT_THROW(sampler.sample(std::vector<float>{0, NAN}), Error);
  EXPECT_THROW(sampler.sample(std::vector<float>{0, kInfinity}), Error);
  EXPECT_THROW(sampler.sample(std::vector<float>{-kInfinity}), Error);
  EXPECT_THROW(sampler.sample({}), Error);
}

TEST(Sampler, RefusesOptionsOutsideTheirRange) {
  const auto refused = [](auto change) {
    SamplerOptions options;
    change(options);
    EXPECT_THROW(Sampler{options}, Error);
  };
  refused([](SamplerOptions& o) { o.temperature = -1; });
  refused([](SamplerOptions& o) { o.temperature = NAN; });
  refused([](SamplerOptions& o) { o.top_p = 0; });
  refused([](SamplerOptions& o) { o.top_p = 1.5; });
  refused([](SamplerOptions& o) { o.min_p = -0.1; });
  refused([](SamplerOptions& o) { o.typical = 0; });
  refused([](SamplerOptions& o) { o.repeat_penalty = 0; });
  refused([](SamplerOptions& o) { o.presence_penalty = NAN; });
  refused([](SamplerOptions& o) { o.logit_bias = {{-1, 0.0}}; });
}

}  // namespace
}  // namespace pith::model
