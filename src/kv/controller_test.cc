#include "pith/kv/controller.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::kv {
namespace {

using Trace = std::function<double(double)>;  // bytes a second at a time
constexpr double kTick = 1e-3;

using Sizes = std::vector<std::vector<uint64_t>>;
constexpr uint64_t kTokens = 256;  // of a chunk

// 32 chunks at three levels.
Sizes chunks() { return {32, {400'000, 200'000, 100'000}}; }
std::vector<uint64_t> tokens(const Sizes& sizes) {
  return std::vector<uint64_t>(sizes.size(), kTokens);
}

struct Outcome {
  double seconds = 0;
  std::vector<int> fetched = {0, 0, 0};  // at each level
};

// A link and a machine that compute, moment by moment.
class Simulation {
 public:
  Simulation(const Sizes& all, ControllerOptions options, Trace trace, double speed)
      : all_(all), controller_(tokens(all), options), trace_(std::move(trace)), speed_(speed) {
    controller_.stored(all, 0);
  }

  Outcome run(bool fetches = true, bool computes = true) {
    double now = 0;
    for (; !controller_.finished() && now < 1000; now += kTick) {
      if (fetches) link(now);
      if (computes) machine(now);
    }
    out_.seconds = now;
    return out_;
  }

 private:
  void finish(const Work work, double now) {
    controller_.done(work, now);
    if (work.kind == Work::Kind::kCompute) compute_.reset();
    if (fetch_ && controller_.there(fetch_->chunk)) fetch_.reset();
    if (compute_ && controller_.there(compute_->chunk)) compute_.reset();
  }
  void link(double now) {
    if (!fetch_) {
      fetch_ = controller_.fetch(now);
      if (!fetch_) return;
      left_bytes_ = static_cast<double>(all_[fetch_->chunk][fetch_->level]);
    }
    const double bytes = trace_(now) * kTick;
    controller_.arrived(static_cast<uint64_t>(bytes), now);
    left_bytes_ -= bytes;
    if (left_bytes_ > 0) return;
    ++out_.fetched[fetch_->level];
    finish(*fetch_, now);
  }
  void machine(double now) {
    if (!compute_) {
      compute_ = controller_.compute(now);
      if (!compute_) return;
      // With what the tick before had left over.
      left_tokens_ = std::min(left_tokens_, 0.0) + static_cast<double>(compute_->tokens);
    }
    left_tokens_ -= speed_ * kTick;
    if (left_tokens_ <= 0) finish(*compute_, now);
  }

  const Sizes& all_;
  Controller controller_;
  Trace trace_;
  double speed_;
  std::optional<Work> fetch_, compute_;
  double left_bytes_ = 0, left_tokens_ = 0;
  Outcome out_;
};

std::vector<std::pair<std::string, Trace>> traces() {
  return {{"even", [](double) { return 4e6; }},
          {"fast", [](double) { return 2e8; }},
          {"dead", [](double) { return 0.0; }},
          {"falling", [](double t) { return 1.2e7 * std::exp(-t / 0.4); }},
          {"rising", [](double t) { return 2e5 * std::exp(std::min(t, 8.0)); }},
          {"breaking", [](double t) { return t < 0.7 ? 1e7 : 1e3; }},
          {"late", [](double t) { return t < 1.5 ? 0.0 : 3e7; }},
          {"bursts", [](double t) {
             return random_unit(3, static_cast<uint64_t>(t * 5)) < 0.3 ? 3e7 : 2e5;
           }}};
}

TEST(Controller, IsNeverWorseThanTheBetterOfBothAlone) {
  const auto all = chunks();
  for (const auto& [name, trace] : traces()) {
    for (const double speed : {1000.0, 4000.0, 20000.0}) {
      const double both = Simulation(all, {}, trace, speed).run().seconds;
      const double fetched = Simulation(all, {}, trace, speed).run(true, false).seconds;
      const double computed = static_cast<double>(all.size() * kTokens) / speed;
      EXPECT_LE(both, 1.1 * std::min(fetched, computed) + 2 * kTick) << name << speed;
    }
  }
}

TEST(Controller, BothTogetherAreFasterThanEither) {
  const auto all = chunks();
  const Trace even = [](double) { return 4e6; };
  // Each alone takes 3.2 seconds.
  EXPECT_NEAR(Simulation(all, {}, even, 2560).run(true, false).seconds, 3.2, 0.02);
  EXPECT_LT(Simulation(all, {}, even, 2560).run().seconds, 1.75);
}

TEST(Controller, MeetsDeadlinesThatFixedLevelsMissOrMeetsThemFiner) {
  const auto all = chunks();
  // Twelve megabytes in the first second, little after it; recomputing takes eight seconds.
  const Trace falls = [](double t) { return t < 0.3 ? 1e7 : 1.5e6; };
  const ControllerOptions options{.deadline = 2.2};
  const Outcome with = Simulation(all, options, falls, 1024).run();
  EXPECT_LE(with.seconds, 2.2);
  const auto fixed = [&](size_t level) {
    Sizes one;
    for (const auto& bytes : all) one.push_back({bytes[level]});
    return Simulation(one, {}, falls, 1024).run(true, false).seconds;
  };
  EXPECT_GT(fixed(0), 2.2);
  EXPECT_GT(fixed(1), 2.2);
  EXPECT_GT(with.fetched[0] + with.fetched[1], 0);  // not all as coarse as can be
}

TEST(Controller, TakesTheFinestLevelWhereThereIsTime) {
  const auto all = chunks();
  const Trace fast = [](double) { return 1e8; };
  const ControllerOptions options{.deadline = 5, .bytes_per_second = 1e8};
  const Outcome o = Simulation(all, options, fast, 1000).run();
  EXPECT_EQ(o.fetched[1] + o.fetched[2], 0);
  EXPECT_LT(o.seconds, 0.2);
}

// Where nothing is known of the link there may be time to compute all, or not.
TEST(Controller, TheFirstLevelIsInTheMiddleWhereALateLinkWouldBeFelt) {
  const auto first = [](double deadline, double believed) {
    Controller c(tokens(chunks()), {.deadline = deadline,
                                    .behind = 1000,
                                    .bytes_per_second = believed,
                                    .tokens_per_second = 1000});
    c.stored(chunks(), 0);
    return c.fetch(0)->level;
  };
  EXPECT_EQ(first(9.3, 0), 0U);  // 8192 tokens and 1000 behind them take 9.2 seconds
  EXPECT_EQ(first(9.1, 0), 1U);
  EXPECT_EQ(first(3, 1e8), 0U);
  EXPECT_EQ(first(3, 1e6), 2U);
  EXPECT_EQ(first(std::numeric_limits<double>::infinity(), 1e3), 0U);
}

TEST(Controller, ALevelThatIsNotStoredIsTakenCoarserOrFiner) {
  const Sizes sizes = {{0, 20, 0}, {0, 0, 10}, {40, 0, 0}};
  for (const double deadline : {1e9, 1e-9}) {
    Controller c({10, 10, 10}, {.deadline = deadline, .bytes_per_second = 1});
    c.stored(sizes, 0);
    for (const size_t level : {0U, 2U, 1U}) {
      const auto w = c.fetch(0);
      ASSERT_TRUE(w);
      EXPECT_EQ(w->level, level);
      c.done(*w, 0);
    }
    EXPECT_TRUE(c.finished());
  }
}

TEST(Controller, WhatComesSoonIsWaitedForAndNotWhatIsLate) {
  Controller c({1000, 1000}, {.tokens_per_second = 1000});
  EXPECT_FALSE(c.compute(0));              // the store has not said what it has
  EXPECT_EQ(c.compute(0.2)->tokens, 64U);  // and is late
  c.done({Work::Kind::kCompute, 0, 0, 64}, 0.264);
  c.stored({{1'000'000}, {1'000'000}}, 0.264);
  const auto last = c.fetch(0.264);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->chunk, 1U);
  c.arrived(500'000, 0.5);  // what is left takes less than a second
  EXPECT_FALSE(c.compute(0.5));
  EXPECT_FALSE(c.stalled(0.7));
  EXPECT_TRUE(c.stalled(3));
  const auto again = c.compute(3);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->chunk, 0U);
  // So long that it need not look at the link meanwhile.
  EXPECT_EQ(again->tokens, 1000U - 64U);
  c.give_up();
  EXPECT_FALSE(c.fetchable());
  EXPECT_FALSE(c.stalled(100));
  c.done(*again, 4);
  EXPECT_EQ(c.compute(4)->chunk, 1U);
}

TEST(Controller, WhatIsThereAlreadyIsNeitherFetchedNorComputed) {
  Controller c({0, 0, 20});
  c.stored({{5}, {5}, {5}}, 0);
  EXPECT_EQ(c.fetch(0)->chunk, 2U);
  EXPECT_EQ(c.compute(0)->chunk, 2U);
  EXPECT_FALSE(c.finished());
}

TEST(Controller, WhatCannotBeFetchedIsComputed) {
  auto all = chunks();
  all[5] = {0, 0, 0};
  Controller c(tokens(all));
  c.stored(all, 0);
  size_t fetched = 0;
  while (const auto w = c.fetch(0)) {
    EXPECT_NE(w->chunk, 5U);
    if (w->chunk == 30)
      c.failed(*w);
    else
      c.done(*w, 0);
    ++fetched;
  }
  EXPECT_EQ(fetched, 31U);
  EXPECT_FALSE(c.finished());
  for (const size_t chunk : {5, 30}) {
    const auto w = c.compute(0);
    ASSERT_TRUE(w);
    EXPECT_EQ(w->chunk, chunk);
    c.done(*w, 0);
  }
  EXPECT_TRUE(c.finished());
  EXPECT_FALSE(c.compute(0));
}

TEST(Controller, TheLastChunkIsTakenByBoth) {
  Controller c({10, 10});
  c.stored({{100}, {100}}, 0);
  const auto front = c.compute(0);
  const auto back = c.fetch(0);
  EXPECT_EQ(front->chunk, 0U);
  EXPECT_EQ(back->chunk, 1U);
  c.done(*back, 0);
  const auto raced = c.fetch(0);
  ASSERT_TRUE(raced);
  EXPECT_EQ(raced->chunk, 0U);
  c.done(*raced, 0);
  EXPECT_TRUE(c.finished());
  EXPECT_TRUE(Controller({}).finished());
}

TEST(Controller, WhatMakesNoSenseIsRefused) {
  EXPECT_THROW(Controller({10}, {.memory = 0}), Error);
  EXPECT_THROW(Controller({10}, {.bytes_per_second = -1}), Error);
  Controller c({10, 10});
  EXPECT_THROW(c.stored({{1, 2}, {1}}, 0), Error);
  EXPECT_THROW(c.stored({{1, 2}}, 0), Error);
  EXPECT_FALSE(c.fetch(0));
  c.stored({{1, 2}, {1, 2}}, 0);
  EXPECT_TRUE(c.fetch(0));
  EXPECT_THROW(c.fetch(0), Error);
}

}  // namespace
}  // namespace pith::kv
