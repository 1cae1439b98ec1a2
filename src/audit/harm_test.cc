#include "pith/audit/harm.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cmath>
#include <memory>

#include "pith/base/error.h"

namespace pith::audit {
namespace {

constexpr uint64_t kVocabulary = 6;

// Logits after each token: what is said there, whatever came before.
LogitSource says(std::vector<std::vector<float>> after) {
  auto rows = std::make_shared<form::Matrix>();
  return {kVocabulary,
          [rows, after = std::move(after)](std::span<const int32_t> ids, uint64_t,
                                           bool) -> form::MatrixView {
            *rows = form::Matrix({ids.size(), kVocabulary});
            for (size_t i = 0; i < ids.size(); ++i) {
              std::ranges::copy(after[static_cast<size_t>(ids[i])], rows->row(i).begin());
            }
            return rows->view();
          }};
}

// A table of logits in which `right[t]` follows t, by so many nats more than any other.
std::vector<std::vector<float>> table(const std::vector<size_t>& right,
                                      const std::vector<float>& by) {
  std::vector<std::vector<float>> out(kVocabulary, std::vector<float>(kVocabulary));
  for (size_t t = 0; t < kVocabulary; ++t) out[t][right[t]] = by[t];
  return out;
}

std::vector<ScoredToken> compared(const LogitSource& model, const LogitSource& reference,
                                  std::span<const int32_t> ids, uint64_t context) {
  std::vector<ScoredToken> tokens;
  PerplexityOptions options{.context = context};
  options.each = [&](const ScoredToken& t) { tokens.push_back(t); };
  evaluate(model, ids, options, &reference);
  return tokens;
}

double loss_of_right(double by) { return std::log(std::exp(by) + kVocabulary - 1) - by; }

// 0 1 2 3 0 1 2 3 …, each after the one before it; of these the compressed model has forgotten what
// follows 2.
class Forgetful : public ::testing::Test {
 protected:
  Forgetful() {
    const std::vector<size_t> next = {1, 2, 3, 0, 0, 0};
    const LogitSource dense = says(table(next, {4, 4, 4, 4, 0, 0}));
    const LogitSource small = says(table({1, 2, 5, 0, 0, 0}, {4, 4, 4, 4, 0, 0}));
    for (int i = 0; i < 41; ++i) ids.push_back(i % 4);
    tokens = compared(small, dense, ids, 8);
  }
  std::vector<int32_t> ids;
  std::vector<ScoredToken> tokens;
  Grouping by_id{
      "id", {"0", "1", "2", "3", "4", "5"}, [](int32_t id) { return static_cast<size_t>(id); }};
};

TEST_F(Forgetful, TokensAreScoredInOrder) {
  ASSERT_EQ(tokens.size(), 40u);
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_EQ(tokens[i].index, i + 1);
    EXPECT_EQ(tokens[i].window, i / 8);
    EXPECT_EQ(tokens[i].token, ids[i + 1]);
    EXPECT_NEAR(tokens[i].reference.loss, loss_of_right(4), 1e-6);
    EXPECT_NEAR(tokens[i].reference.confidence, std::exp(-loss_of_right(4)), 1e-6);
  }
}

TEST_F(Forgetful, OneTokenInFourIsHurt) {
  const std::array groupings = {by_id};
  const Harm h = find_harm(tokens, groupings);
  EXPECT_EQ(h.all.tokens, 40u);
  EXPECT_DOUBLE_EQ(h.all.risen, 0.25);
  EXPECT_DOUBLE_EQ(h.all.flips, 0.25);
  EXPECT_NEAR(h.all.rise, 1, 1e-6);        // 4 nats for one in four
  EXPECT_NEAR(h.all.worst_rise, 4, 1e-6);  // which the mean hides
  EXPECT_DOUBLE_EQ(h.risen.mean, 0.25);
  ASSERT_TRUE(h.risen.interval);
  EXPECT_NEAR(h.risen.interval->low, 0.25, 1e-12);  // two in each window of eight
  EXPECT_NEAR(h.flips.interval->high, 0.25, 1e-12);
  ASSERT_EQ(h.groupings.size(), 1u);
  ASSERT_EQ(h.groupings[0].groups.size(), 4u);  // 4 and 5 never come
  for (const GroupHarm& g : h.groupings[0].groups) {
    EXPECT_EQ(g.tokens, 10u);
    EXPECT_DOUBLE_EQ(g.risen, g.name == "3" ? 1 : 0);
    EXPECT_NEAR(g.rise, g.name == "3" ? 4 : 0, 1e-6);
  }
}

TEST_F(Forgetful, ConfidenceIsHeldAgainstWhatIsRight) {
  const Harm h = find_harm(tokens, {});
  const double sure = std::exp(-loss_of_right(4));
  EXPECT_DOUBLE_EQ(h.reference_confidence.right, 1);
  EXPECT_NEAR(h.reference_confidence.error, 1 - sure, 1e-6);
  EXPECT_DOUBLE_EQ(h.confidence.right, 0.75);
  // All in one bin.
  EXPECT_NEAR(h.confidence.error, std::abs(sure - 0.75), 1e-6);
}

TEST(Harm, OfAModelAgainstItselfIsNone) {
  const std::vector<int32_t> ids = {0, 1, 2, 3, 4, 5, 0, 2, 4};
  const auto logits = table({1, 2, 3, 0, 0, 0}, {4, 3, 2, 1, 5, 6});
  const auto tokens = compared(says(logits), says(logits), ids, 4);
  const Harm h = find_harm(tokens, {});
  EXPECT_EQ(h.all.risen, 0);
  EXPECT_EQ(h.all.worst_rise, 0);
  EXPECT_EQ(h.all.flips, 0);
  EXPECT_EQ(h.confidence.error, h.reference_confidence.error);
  EXPECT_TRUE(std::isnan(h.reference_loss_of_flips));
  EXPECT_NEAR(h.reference_loss_of_others, h.all.reference_loss, 1e-12);
}

ScoredToken token(double before, double after, bool flip = false) {
  ScoredToken t;
  t.reference = {before, 1, 0.5};
  t.model = {after, flip ? 2 : 1, 0.5};
  t.token = 1;
  return t;
}

TEST(Harm, BinsOfConfidence) {
  // Two bins: unsure tokens, which say 0.4, are never right; sure ones, which say 0.9, always.
  std::vector<ScoredToken> tokens(4, token(1, 1));
  tokens[0].model.confidence = tokens[1].model.confidence = 0.4;
  tokens[2].model.confidence = 0.8;
  tokens[3].model.confidence = 1;
  tokens[0].model.best = tokens[1].model.best = 3;
  const Harm h = find_harm(tokens, {}, {.bins = 2});
  EXPECT_NEAR(h.confidence.error, 0.5 * 0.4 + 0.5 * 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(h.confidence.right, 0.5);
  // In one bin the two make up for each other in part.
  EXPECT_NEAR(find_harm(tokens, {}, {.bins = 1}).confidence.error, 0.15, 1e-12);
}

TEST(Harm, FlipsAreOfTokensThatWereHardBefore) {
  const std::vector<ScoredToken> tokens = {token(5, 6, true), token(3, 3, true), token(1, 1),
                                           token(2, 2)};
  const Harm h = find_harm(tokens, {});
  EXPECT_DOUBLE_EQ(h.reference_loss_of_flips, 4);
  EXPECT_DOUBLE_EQ(h.reference_loss_of_others, 1.5);
}

// Thresholds are what they say; the worst are no fewer than one and their rise no less than the
// mean; groups make up the whole.
RC_GTEST_PROP(Harm, SharesAndMeansAreConsistent, ()) {
  const auto rises = *rc::gen::nonEmpty<std::vector<int8_t>>();
  std::vector<ScoredToken> tokens;
  double sum = 0;
  uint64_t risen = 0;
  for (size_t i = 0; i < rises.size(); ++i) {
    tokens.push_back(token(3, 3 + rises[i] / 64.0, rises[i] % 3 == 0));
    tokens.back().token = static_cast<int32_t>(i % 5);
    tokens.back().window = i / 7;
    sum += rises[i] / 64.0;
    risen += rises[i] > 32;
  }
  const std::array groupings = {Grouping{
      "five", {"a", "b", "c", "d", "e"}, [](int32_t id) { return static_cast<size_t>(id); }}};
  const Harm h = find_harm(tokens, groupings, {.risen = 0.5});
  const auto n = static_cast<double>(rises.size());
  RC_ASSERT(std::abs(h.all.rise - sum / n) < 1e-9);
  RC_ASSERT(std::abs(h.all.risen - static_cast<double>(risen) / n) < 1e-12);
  RC_ASSERT(std::abs(h.risen.mean - h.all.risen) < 1e-12);
  RC_ASSERT(h.all.worst_rise >= h.all.rise - 1e-12);
  double rise = 0, flips = 0;
  for (const GroupHarm& g : h.groupings[0].groups) {
    rise += g.rise * static_cast<double>(g.tokens) / n;
    flips += g.flips * static_cast<double>(g.tokens) / n;
  }
  RC_ASSERT(std::abs(rise - h.all.rise) < 1e-9);
  RC_ASSERT(std::abs(flips - h.all.flips) < 1e-9);
}

TEST(Harm, RefusesWhatMeansNothing) {
  const std::vector<ScoredToken> tokens = {token(1, 1)};
  EXPECT_THROW(find_harm({}, {}), Error);
  EXPECT_THROW(find_harm(tokens, {}, {.risen = -1}), Error);
  EXPECT_THROW(find_harm(tokens, {}, {.risen = NAN}), Error);
  EXPECT_THROW(find_harm(tokens, {}, {.worst = 0}), Error);
  EXPECT_THROW(find_harm(tokens, {}, {.worst = 1.1}), Error);
  EXPECT_THROW(find_harm(tokens, {}, {.bins = 0}), Error);
  const std::array outside = {Grouping{"none", {}, [](int32_t) { return size_t{0}; }}};
  EXPECT_THROW(find_harm(tokens, outside), Error);
}

}  // namespace
}  // namespace pith::audit
