#include "pith/select/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "../fit/testing.h"
#include "pith/base/error.h"
#include "pith/select/shares.h"

namespace pith::select {
namespace {

using fit::noise;
using Places = std::vector<uint32_t>;

// The scores as what one query gave.
struct Scored {
  explicit Scored(std::vector<float> scores) {
    attention.add(scores);
    items.count = scores.size();
    items.attention = &attention;
  }
  AttentionRecord attention;
  Items items;
};

Places kept(const char* policy, const Items& items, std::optional<uint64_t> budget = {}) {
  return Policy(policy).select(items, budget).kept;
}

std::string refusal(const char* policy) {
  try {
    Policy p(policy);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "";
}

TEST(Policy, KeepersTakeAmongWhatIsLeft) {
  const Scored s({5, 1, 7, 3, 9, 2, 8, 4, 6, 0});
  EXPECT_EQ(kept("all", s.items).size(), 10);
  EXPECT_EQ(kept("sink(2) + window(3)", s.items), (Places{0, 1, 7, 8, 9}));
  EXPECT_EQ(kept("top(attention, 3)", s.items), (Places{2, 4, 6}));
  EXPECT_EQ(kept("sink(1) + window(1) + top(attention, 20%)", s.items), (Places{0, 4, 6, 9}));
  EXPECT_EQ(kept("window(5) + top(attention, 2)", s.items), (Places{2, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(kept("every(4)", s.items), (Places{0, 4, 8}));
  EXPECT_EQ(kept("top(recency, 2)", s.items), (Places{8, 9}));
  // 9 + 8 + 7 of 45 is more than half.
  EXPECT_EQ(kept("nucleus(attention, 50%)", s.items), (Places{2, 4, 6}));
  EXPECT_EQ(kept("spans(attention, 4, length=2)", s.items), (Places{3, 4, 6, 7}));
  EXPECT_EQ(kept("sink(99) + window(99)", s.items).size(), 10);
}

TEST(Policy, TheBudgetIsFilledAndNeverPassed) {
  const Scored s({5, 1, 7, 3, 9, 2, 8, 4, 6, 0});
  EXPECT_EQ(kept("sink(1) + window(1) + top(attention)", s.items, 4), (Places{0, 4, 6, 9}));
  EXPECT_EQ(kept("top(attention) + window(1)", s.items, 3), (Places{4, 6, 9}));
  EXPECT_EQ(kept("sink(1) + top(attention, 5)", s.items, 3), (Places{0, 4, 6}));
  EXPECT_EQ(kept("nucleus(attention, 90%)", s.items, 2), (Places{4, 6}));
  EXPECT_EQ(kept("all", s.items, 2), (Places{8, 9}));
  EXPECT_EQ(kept("top(attention)", s.items, 99).size(), 10);
  EXPECT_EQ(kept("spans(attention, length=3)", s.items, 7).size(), 7);
  EXPECT_THROW(kept("top(attention)", s.items), Error);
  try {
    kept("sink(4) + window(3) + top(attention)", s.items, 6);
    ADD_FAILURE() << "more must stay than may";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kLimit);
    EXPECT_NE(std::string(e.what()).find("7 items must stay, and the budget is 6"),
              std::string::npos);
  }
}

TEST(Policy, StepsComeOneAfterTheOther) {
  const Scored s({5, 1, 7, 3, 9, 2, 8, 4, 6, 0});
  EXPECT_EQ(kept("top(attention, 50%) | window(2)", s.items), (Places{6, 8}));
  EXPECT_EQ(kept("top(attention, 50%) | top(recency)", s.items, 3), (Places{4, 6, 8}));
  const Selection low = Policy("window(7) | top(attention, 2) | rest(uniform(2))").select(s.items);
  EXPECT_EQ(low.kept, (Places{4, 6}));
  ASSERT_EQ(low.rests.size(), 1U);
  EXPECT_EQ(low.rests[0].items, (Places{3, 5, 7, 8, 9}));
  EXPECT_EQ(form::to_string(low.rests[0].form), "uniform(2)");
  const Policy p("sink(4) + top(attention(latest=32), 20%) | merge(nearest, weight=attention)");
  EXPECT_TRUE(p.needs_attention());
  EXPECT_EQ(p.latest(), 32);
  EXPECT_EQ(Policy(p.text()).text(), p.text());
  EXPECT_FALSE(Policy("top(norm, 3)").needs_attention());
}

// Ten items, of which two stay as they are; of eight, three in four bits and two in two.
TEST(Policy, TheDearerTheFiner) {
  const Scored s({5, 1, 7, 3, 9, 2, 8, 4, 6, 0});
  const auto forms = [](const Selection& of) {
    std::vector<std::pair<std::string, Places>> out;
    for (const Selection::Rest& r : of.rests) out.emplace_back(form::to_string(r.form), r.items);
    return out;
  };
  using Forms = std::vector<std::pair<std::string, Places>>;
  const Policy p(
      "top(attention, 2) | tiles(attention, part(uniform(4), 3), part(uniform(2), 25%))");
  const Selection of = p.select(s.items);
  EXPECT_EQ(of.kept, (Places{4, 6}));
  EXPECT_EQ(forms(of), (Forms{{"uniform(4)", {0, 2, 8}}, {"uniform(2)", {3, 7}}}));
  EXPECT_TRUE(p.has_rest());
  EXPECT_EQ(Policy(p.text()).select(s.items), of);
  // By another score than what is kept; the last part takes what is left; nothing is dropped twice.
  const Selection other =
      Policy(
          "top(attention, 5) | top(recency, 2) | tiles(recency, part(uniform(4), 1), part(zeros))")
          .select(s.items);
  EXPECT_EQ(other.kept, (Places{6, 8}));
  EXPECT_EQ(forms(other), (Forms{{"uniform(4)", {4}}, {"zeros", {0, 2}}}));
  EXPECT_TRUE(Policy("all | tiles(recency, part(zeros))").select(s.items).rests.empty());
  EXPECT_TRUE(Policy("top(norm, 2) | tiles(attention(latest=7), part(zeros))").needs_attention());
  EXPECT_EQ(Policy("top(norm, 2) | tiles(attention(latest=7), part(zeros))").latest(), 7U);
}

// docs/select.md says so.
TEST(Policy, PublishedOnesCanBeSaid) {
  const form::Matrix v = noise({300, 8}, 2);
  AttentionRecord record;
  record.add(std::vector<float>(300, 0.1f));
  const Items items{.count = 300, .vectors = v.view(), .attention = &record, .layers = 4};
  for (const char* text :
       {"sink(4) + window(1020)", "window(50%) + top(attention, 50%)",
        "window(32) + top(attention(latest=32))",
        "top(attention, 20%) | rest(uniform(2, group=32))",
        "top(attention, 10%) | tiles(attention, part(uniform(4), 30%), part(uniform(2)))",
        "top(attention(mean), 40%) | rest(uniform(2))",
        "top(attention + attention(latest=32), 10%) | merge(similar, threshold=0.6, "
        "weight=attention)",
        "sink(4) + window(64) + ladder(depth=2)"}) {
    const Selection s = Policy(text).select(items, 2000);
    EXPECT_GE(s.kept.size(), 30) << text;
    EXPECT_EQ(s, Policy(Policy(text).text()).select(items, 2000)) << text;
  }
}

TEST(Policy, WhatIsNoneIsRefusedWithThePlace) {
  for (const auto& [text, wanted] : std::initializer_list<std::pair<const char*, const char*>>{
           {"sunk(4)", "no keeper is called `sunk`; there are all, sink"},
           {"sink", "sink: `n` is missing"},
           {"top(attentive)", "no score is called `attentive`; there are attention, norm"},
           {"top(attention, 0.2)", "as 64 or 20%"},
           {"top(attention(mean, latest=3), 2)", "left out beside `mean`"},
           {"top(norm(3), 2)", "norm"},
           {"window(-1)", "integer"},
           {"merge(nearest)", "stands after keepers"},
           {"sink(1) | rest(uniform(2)) | top(norm, 2)", "is the last step"},
           {"sink(1) | rest(3)", "rest takes one form"},
           {"sink(1) | tiles(recency)", "tiles takes a score and parts"},
           {"sink(1) | tiles(part(zeros))", "no score is called `part`"},
           {"sink(1) | tiles(recency, uniform(2))", "tiles takes a score and parts"},
           {"sink(1) | tiles(recency, part(zeros), part(zeros))", "the part before takes all"},
           {"sink(1) | tiles(recency, part(zeros, 0.5))", "as 64 or 20%"},
           {"sink(1) | tiles(recency, part(zeros)) | top(norm, 2)", "is the last step"},
           {"sink(1) | merge(nearest) + window(2)", "`|` stands after the last of the terms"},
           {"sink(1) | merge(nearest, threshold=0.5)", "left out but for merge(similar)"},
           {"sink(1) | merge(smooth, width=4)", "odd"},
           {"ladder(depth=2, overlap=2)", "overlap"},
           {"sink(1) > rans", "no keeper"}}) {
    EXPECT_NE(refusal(text).find(wanted), std::string::npos) << text << ": " << refusal(text);
  }
  EXPECT_NE(refusal("sink(4) + top(attention, 0.2)").find("line 1, column 26"), std::string::npos)
      << refusal("sink(4) + top(attention, 0.2)");
  const Items bare{.count = 3};
  for (const char* needs : {"top(attention, 1)", "top(norm, 1)", "top(relevance, 1)", "kcenter(2)",
                            "sink(1) | merge(similar)"})
    EXPECT_THROW(kept(needs, bare), Error) << needs;
}

TEST(Policy, CentersCoverMoreThanTheLatest) {
  const form::Matrix v = noise({60, 2}, 1);
  const Items items{.count = 60, .vectors = v.view()};
  const auto worst = [&](const Places& centers) {
    double most = 0;
    for (uint64_t i = 0; i < 60; ++i) {
      double nearest = INFINITY;
      for (const uint32_t c : centers) {
        double d = 0;
        for (uint64_t k = 0; k < 2; ++k) d += std::pow(v.view().row(i)[k] - v.view().row(c)[k], 2);
        nearest = std::min(nearest, d);
      }
      most = std::max(most, nearest);
    }
    return most;
  };
  const Places centers = kept("sink(1) + kcenter(14)", items);
  EXPECT_EQ(centers.size(), 15);
  EXPECT_EQ(centers[0], 0);
  EXPECT_LT(worst(centers), 0.8 * worst(kept("window(15)", items)));
}

// Every item is in as many layers as a rung is deep, the oldest in the shallowest.
TEST(Policy, ALadderKeepsEveryItemSomewhere) {
  for (const auto& [layers, depth, overlap] :
       {std::array{8, 2, 0}, {8, 3, 1}, {7, 3, 2}, {2, 4, 0}}) {
    std::vector<int> times(40);
    double shallow = 0, deep = 0;
    const Policy p(fmt::format("ladder(depth={}, overlap={})", depth, overlap));
    for (int layer = 0; layer < layers; ++layer) {
      const Items items{.count = 40,
                        .layer = static_cast<uint64_t>(layer),
                        .layers = static_cast<uint64_t>(layers)};
      const Places in = p.select(items).kept;
      for (const uint32_t i : in) {
        ++times[i];
        (i < 20 ? shallow : deep) += layer;
      }
    }
    for (const int t : times) EXPECT_EQ(t, std::min(layers, depth));
    if (layers > depth) {
      EXPECT_LT(shallow, deep);
    }
  }
}

TEST(Policy, MergesKeepWhatIsLikeWhatStays) {
  // Items 0 and 3 are alike, 1 and 4; 2 is like none.
  form::Matrix v({5, 3});
  v.values = {1, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0.1f, 0, 0, 3, 0};
  const Items items{.count = 5, .vectors = v.view()};
  const Selection s = Policy("sink(2) | merge(similar, threshold=0.5)").select(items);
  EXPECT_EQ(s.shares, (std::vector<Selection::Share>{
                          {0, 0, 0.5f}, {3, 0, 0.5f}, {1, 1, 0.5f}, {4, 1, 0.5f}}));
  const Selection all = Policy("sink(2) | merge(nearest)").select(items);
  EXPECT_EQ(all.shares.size(), 5);
  EXPECT_EQ(all.shares[1], (Selection::Share{1, 1, 0.25f}));
  const Selection near = Policy("sink(1) + window(1) | merge(nearest)").select(items);
  EXPECT_EQ(near.shares[2].from, 2);  // as far from both ends: to the earlier
  const Selection smooth = Policy("every(2) | merge(smooth)").select(items);
  EXPECT_EQ(smooth.shares[0], (Selection::Share{0, 0, 2.0f / 3}));
  EXPECT_EQ(smooth.shares[1], (Selection::Share{1, 0, 1.0f / 3}));
  // By squared error clusters are no worse than the nearest place.
  const form::Matrix w = noise({50, 4}, 3);
  const Items many{.count = 50, .vectors = w.view()};
  const auto error = [&](const char* policy) {
    const Selection m = Policy(policy).select(many);
    const form::Matrix rows = kept_rows(m, w.view());
    double sum = 0;
    for (const Selection::Share& x : m.shares) {
      for (uint64_t c = 0; c < 4; ++c)
        sum += std::pow(w.view().row(x.from)[c] - rows.view().row(x.to)[c], 2);
    }
    return sum;
  };
  EXPECT_LT(error("every(5) | merge(clusters)"), 0.6 * error("every(5) | merge(nearest)"));
}

TEST(Policy, MergedByScoreTheDearWeighMore) {
  const Scored s({3, 1, 0, 0});
  const Selection m =
      Policy("sink(1) + window(1) | merge(nearest, weight=attention)").select(s.items);
  EXPECT_EQ(m.shares[0], (Selection::Share{0, 0, 0.75f}));
  EXPECT_EQ(m.shares[1], (Selection::Share{1, 0, 0.25f}));
  EXPECT_EQ(m.shares[3], (Selection::Share{3, 1, 1}));  // none of them weighs anything
  EXPECT_EQ(Policy("top(attention, 0) | merge(nearest)").select(s.items).shares.size(), 0);
}

TEST(Scores, AreOfTheirItems) {
  form::Matrix v({4, 2}), q({1, 2});
  v.values = {1, 0, 2, 0, 0, 3, 1, 1};
  q.values = {0, 5};
  const Items items{.count = 4, .vectors = v.view(), .queries = q.view()};
  const auto of = [&](const char* e) { return score(form::parse(e), items); };
  EXPECT_EQ(of("norm")[2], -3);
  EXPECT_EQ(of("relevance")[2], 1);
  EXPECT_EQ(of("relevance")[0], 0);
  EXPECT_EQ(of("unlikeness")[0], 0);  // the second is the first, longer
  EXPECT_EQ(of("unlikeness")[3], 1);  // nothing comes later
  EXPECT_GT(of("diversity")[2], of("diversity")[0]);
  EXPECT_EQ(of("recency + recency"), (std::vector<float>{0, 2.0f / 3, 4.0f / 3, 2}));
  EXPECT_EQ(of("recency * norm")[2], 0);
  v.values[5] = NAN;
  EXPECT_THROW(of("norm"), Error);
}

TEST(Scores, EntropyIsOfTheDirectionsThatAreUsed) {
  form::Matrix one({10, 4}), four({40, 4});
  for (uint64_t r = 0; r < 10; ++r) one.row(r)[1] = 3;
  for (uint64_t r = 0; r < 40; ++r) four.row(r)[r % 4] = 1;
  EXPECT_NEAR(matrix_entropy(one.view(), 4), 0, 1e-6);
  EXPECT_NEAR(matrix_entropy(four.view(), 4), std::log(4), 1e-5);
  EXPECT_LT(matrix_entropy(four.view(), 2), matrix_entropy(four.view(), 4));
  EXPECT_EQ(matrix_entropy({}), 0);
  const form::Matrix m = noise({64, 16}, 5);
  EXPECT_GT(matrix_entropy(m.view()), 0);
  EXPECT_LE(matrix_entropy(m.view()), matrix_entropy(m.view(), 16));
}

// What H2O does: a policy after every new item needs no more than the record.
TEST(Policy, RunsWhileItemsArrive) {
  const Policy policy("sink(1) + window(2) + top(attention)");
  std::mt19937 random(7);
  std::uniform_real_distribution<float> weight;
  AttentionRecord record(0);
  std::vector<uint32_t> ids;
  for (uint32_t t = 0; t < 200; ++t) {
    ids.push_back(t);
    std::vector<float> row(ids.size());
    for (size_t i = 0; i < row.size(); ++i) row[i] = ids[i] == 17 ? 5 : weight(random) / 10;
    record.add(row);
    const Selection s = policy.select({.count = ids.size(), .attention = &record}, 16);
    record.keep(s);
    std::vector<uint32_t> left;
    for (const uint32_t k : s.kept) left.push_back(ids[k]);
    ids = left;
    EXPECT_EQ(ids.size(), std::min<size_t>(16, t + 1));
  }
  EXPECT_EQ(ids[0], 0);
  EXPECT_TRUE(std::ranges::count(ids, 17u));
  EXPECT_EQ(ids.back(), 199);
}

TEST(Shares, GoWhereMostWouldBeMissed) {
  const std::vector<std::vector<float>> scores = {
      std::vector<float>(10, 0.1f), {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, {9, 0, 0}};
  EXPECT_EQ(shares_by_score(scores, 12), (std::vector<uint64_t>{2, 9, 1}));
  EXPECT_EQ(shares_by_score(scores, 3), (std::vector<uint64_t>{1, 1, 1}));
  EXPECT_EQ(shares_by_score(scores, 99)[0], 10);
  EXPECT_THROW(shares_by_score(scores, 2), Error);
  EXPECT_TRUE(shares_by_score({}, 5).empty());
}

TEST(Shares, ByWeightAndFalling) {
  const std::vector<uint64_t> sizes = {100, 100, 10};
  const std::vector<double> weights = {3, 1, 8};
  EXPECT_EQ(shares_by_weight(weights, sizes, 50), (std::vector<uint64_t>{30, 10, 10}));
  EXPECT_EQ(shares_by_weight(weights, sizes, 999), sizes);
  const std::vector<uint64_t> layers(5, 100);
  const auto falling = shares_falling(layers, 100, 3);
  EXPECT_EQ(falling, (std::vector<uint64_t>{30, 25, 20, 15, 10}));
  EXPECT_THROW(shares_falling(layers, 100, 0.5), Error);
  EXPECT_THROW(shares_by_weight(weights, layers, 50), Error);
  EXPECT_THROW(shares_by_weight(weights, sizes, 2), Error);
}

}  // namespace
}  // namespace pith::select
