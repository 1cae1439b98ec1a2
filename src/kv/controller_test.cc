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

// 32 chunks of 256 tokens, at three levels.
std::vector<ChunkSizes> chunks() {
  std::vector<ChunkSizes> all;
  for (int i = 0; i < 32; ++i) all.push_back({256, {400'000, 200'000, 100'000}});
  return all;
}

struct Outcome {
  double seconds = 0;
  std::vector<int> fetched = {0, 0, 0};  // at each level
  int computed = 0;
};

// A link and a machine that compute, moment by moment.
class Simulation {
 public:
  Simulation(const std::vector<ChunkSizes>& all, ControllerOptions options, Trace trace,
             double speed)
      : all_(all), controller_(all, options), trace_(std::move(trace)), speed_(speed) {}

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
  void finish(const Work& work) {
    controller_.done(work);
    if (fetch_ && fetch_->chunk == work.chunk) fetch_.reset();
    if (compute_ && compute_->chunk == work.chunk) compute_.reset();
  }
  void link(double now) {
    if (!fetch_) {
      fetch_ = controller_.fetch(now);
      if (!fetch_) return;
      left_bytes_ = static_cast<double>(all_[fetch_->chunk].bytes[fetch_->level]);
    }
    const double bytes = trace_(now) * kTick;
    controller_.fetched_bytes(static_cast<uint64_t>(bytes), kTick);
    left_bytes_ -= bytes;
    if (left_bytes_ > 0) return;
    ++out_.fetched[fetch_->level];
    finish(*fetch_);
  }
  void machine(double now) {
    if (!compute_) {
      compute_ = controller_.compute(now);
      if (!compute_) return;
      left_tokens_ = static_cast<double>(all_[compute_->chunk].tokens);
    }
    controller_.computed_tokens(static_cast<uint64_t>(speed_ * kTick), kTick);
    left_tokens_ -= speed_ * kTick;
    if (left_tokens_ > 0) return;
    ++out_.computed;
    finish(*compute_);
  }

  const std::vector<ChunkSizes>& all_;
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
      const double computed = Simulation(all, {}, trace, speed).run(false, true).seconds;
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
    std::vector<ChunkSizes> one;
    for (const ChunkSizes& c : all) one.push_back({c.tokens, {c.bytes[level]}});
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

TEST(Controller, WhatCannotBeFetchedIsComputed) {
  auto all = chunks();
  all[5].bytes.clear();
  Controller c(all);
  size_t fetched = 0;
  while (const auto w = c.fetch(0)) {
    EXPECT_NE(w->chunk, 5U);
    if (w->chunk == 30)
      c.failed(*w);
    else
      c.done(*w);
    ++fetched;
  }
  EXPECT_EQ(fetched, 31U);
  EXPECT_FALSE(c.finished());
  for (const size_t chunk : {5, 30}) {
    const auto w = c.compute(0);
    ASSERT_TRUE(w);
    EXPECT_EQ(w->chunk, chunk);
    c.done(*w);
  }
  EXPECT_TRUE(c.finished());
  EXPECT_FALSE(c.compute(0));
}

TEST(Controller, TheLastChunkIsTakenByBoth) {
  Controller c(std::vector<ChunkSizes>{{10, {100}}, {10, {100}}});
  const auto front = c.compute(0);
  const auto back = c.fetch(0);
  EXPECT_EQ(front->chunk, 0U);
  EXPECT_EQ(back->chunk, 1U);
  c.done(*back);
  const auto raced = c.fetch(0);
  ASSERT_TRUE(raced);
  EXPECT_EQ(raced->chunk, 0U);
  c.done(*raced);
  EXPECT_TRUE(c.finished());
  EXPECT_TRUE(Controller(std::vector<ChunkSizes>{}).finished());
}

TEST(Controller, WhatMakesNoSenseIsRefused) {
  EXPECT_THROW(Controller(std::vector<ChunkSizes>{{10, {1, 2}}, {10, {1}}}), Error);
  EXPECT_THROW(Controller(chunks(), {.memory = 0}), Error);
  Controller c(chunks());
  c.fetch(0);
  EXPECT_THROW(c.fetch(0), Error);
}

}  // namespace
}  // namespace pith::kv
