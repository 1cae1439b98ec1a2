// Prompts whose chunks come from a Redis server over links whose speed changes.
#include <gtest/gtest.h>

#include <random>

#include "../kv/testing_link.h"
#include "../kv/testing_redis.h"
#include "pith/model/prompt_store.h"
#include "testing_model.h"

namespace pith::model {
namespace {

using namespace testing;
using kv::testing::RedisServer;
using kv::testing::ShapedLink;

constexpr uint64_t kTokens = 32;  // of a chunk
const std::vector<std::string> kLevels = {PromptStoreOptions().codings[0], "uniform(8)",
                                          "uniform(2, group=40)"};

class PromptStoreLink : public ::testing::Test {
 protected:
  PromptStoreLink() : model_(make()) {}

  static LanguageModel make() {
    DecoderConfig config = small_config();
    check(config);
    return make_model(MemoryWeights(config, random_tensors(config)));
  }

  std::vector<int32_t> prompt(size_t n) const {
    std::mt19937 random(5);
    std::vector<int32_t> out(n);
    for (int32_t& id : out) id = static_cast<int32_t>(random() % model_.config().vocabulary);
    return out;
  }

  PromptStoreOptions options(std::vector<std::string> codings = kLevels) {
    return {.codings = std::move(codings),
            .chunk_tokens = kTokens,
            .problem = [this](const std::string& what) { problems_.push_back(what); }};
  }
  // For measurements: all that is there is waited for.
  PromptStoreOptions fetching(std::vector<std::string> codings = kLevels) {
    PromptStoreOptions o = options(std::move(codings));
    o.recompute = false;
    return o;
  }
  // port: of a link.
  PromptStore store(const PromptStoreOptions& o, uint16_t port = 0, const char* rest = "") const {
    return PromptStore(kv::open_store(server_.url(rest, port)), o);
  }

  std::vector<float> read(PromptStore& from, const std::vector<int32_t>& ids) const {
    Session session(model_, 4000);
    from.read(session, ids);
    const auto logits = session.feed(std::span(ids).subspan(session.position()));
    std::vector<float> out(logits.data, logits.data + logits.shape.size());
    from.push(session, ids);
    return out;
  }
  void fill(const std::vector<int32_t>& ids) {
    PromptStore s = store(options());
    read(s, ids);
  }
  // Seconds until the prompt is read.
  double seconds(PromptStore& from, const std::vector<int32_t>& ids) const {
    Session session(model_, 4000);
    from.read(session, ids);
    return from.use().read_seconds;
  }
  double seconds_alone(const std::vector<int32_t>& ids) const {
    Session session(model_, 4000);
    const auto start = std::chrono::steady_clock::now();
    session.feed(ids, Logits::kNone);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  std::vector<float> plain(const std::vector<int32_t>& ids) const {
    Session session(model_, 4000);
    const auto logits = session.feed(ids);
    return {logits.data, logits.data + logits.shape.size()};
  }
  static void expect_near(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << i;
  }

  RedisServer server_;
  LanguageModel model_;
  std::vector<std::string> problems_;
};

TEST_F(PromptStoreLink, OnAFallingLinkADeadlineIsMetThatTheFinestMisses) {
  const auto ids = prompt(513);
  fill(ids);
  // Three fifths of the finest chunks, of half a megabyte in all, in a tenth of a second.
  ShapedLink link(server_.port(), [](double t) { return t < 0.1 ? 3e6 : 2.5e5; });
  PromptStore finest = store(fetching({kLevels[0]}), link.port());
  link.begin();
  EXPECT_GT(seconds(finest, ids), 0.75);
  PromptStoreOptions o = fetching();
  o.deadline = 0.45;
  PromptStore levels = store(o, link.port());
  link.begin();
  // With time for machines that do other things too.
  EXPECT_LT(seconds(levels, ids), 0.7);
  const auto& in = levels.use().fetched_in;
  EXPECT_GT(in[0], 0);
  EXPECT_GT(in[1] + in[2], 0);
  EXPECT_LT(in[2], 512);
  EXPECT_EQ(in[0] + in[1] + in[2], 512);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(PromptStoreLink, AFastLinkGivesTheFinest) {
  const auto ids = prompt(513);
  fill(ids);
  ShapedLink link(server_.port(), 1e8);
  PromptStoreOptions o = fetching();
  o.deadline = 5;
  PromptStore s = store(o, link.port());
  // Of the first chunk it is not known yet that the link is fast.
  read(s, ids);
  EXPECT_GE(s.use().fetched_in[0], 512 - kTokens);
  expect_near(read(s, ids), plain(ids));
  EXPECT_EQ(s.use().fetched_in, (std::vector<uint64_t>{512, 0, 0}));
  EXPECT_EQ(s.use().pushed, 0);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(PromptStoreLink, OfADeadLinkItIsSaidOnceAndTheModelReads) {
  const auto ids = prompt(200);
  fill(ids);
  const ShapedLink link(server_.port(), 0.0);
  PromptStore s = store(options(), link.port(), "?timeout=0.3");
  for (int times = 0; times < 3; ++times) {
    expect_near(read(s, ids), plain(ids));
    EXPECT_EQ(s.use().fetched, 0);
    EXPECT_EQ(s.use().pushed, 0);
  }
  ASSERT_EQ(problems_.size(), 1);
  EXPECT_NE(problems_[0].find("no answer"), std::string::npos) << problems_[0];
}

TEST_F(PromptStoreLink, ALinkThatDiesOnTheWay) {
  const auto ids = prompt(513);
  fill(ids);
  // Long enough for the first chunk wherever tests are slow, for far fewer bytes than all.
  ShapedLink link(server_.port(), [](double t) { return t < 0.5 ? 4e5 : 0; });
  PromptStore s = store(fetching({kLevels[0]}), link.port(), "?timeout=0.3");
  const auto wanted = plain(ids);
  link.begin();
  expect_near(read(s, ids), wanted);
  EXPECT_GT(s.use().fetched, 0);
  EXPECT_LT(s.use().fetched, 512);
  EXPECT_EQ(problems_.size(), 1);
}

TEST_F(PromptStoreLink, AStoreThatAnswersLateIsFilledAllTheSame) {
  const auto ids = prompt(70);
  const ShapedLink link(server_.port(), 1e8, 0.1);
  PromptStore late = store(options({"uniform(8)"}), link.port()),
              s = store(fetching({"uniform(8)"}));
  expect_near(read(late, ids), plain(ids));
  EXPECT_EQ(late.use().pushed, 64);
  read(s, ids);
  EXPECT_EQ(s.use().fetched, 64);
  EXPECT_TRUE(problems_.empty());
}

// Whichever is faster, on links that become the other while it is read.
TEST_F(PromptStoreLink, ChangingLinksAreAboutAsGoodAsTheBetterOfFetchingAndReading) {
  const auto ids = prompt(2049);
  const double reading = seconds_alone(ids), bytes = 960 * 2048;
  PromptStoreOptions o = options({kLevels[0]});
  o.chunk_tokens = 128;
  PromptStore filling = store(o);
  read(filling, ids);
  const std::vector<ShapedLink::Trace> traces = {
      [=](double t) { return (t < reading / 2 ? 1 : 0.25) * bytes / reading; },
      [=](double t) { return (t < reading / 4 ? 0.01 : 10) * bytes / reading; }};
  const double slack = 0.01 + 0.2 * reading;
  for (const ShapedLink::Trace& trace : traces) {
    ShapedLink link(server_.port(), trace);
    double both = 0, better = 0;
    // Once more where the machine did something else meanwhile.
    for (int times = 0; times < 3; ++times) {
      PromptStore s = store(o, link.port());
      s.took(ids.size(), reading);
      link.begin();
      both = seconds(s, ids);
      o.recompute = false;
      PromptStore f = store(o, link.port());
      o.recompute = true;
      link.begin();
      better = std::min(reading, seconds(f, ids));
      if (both <= 1.1 * better + slack) break;
    }
    EXPECT_LE(both, 1.1 * better + slack);
  }
}

}  // namespace
}  // namespace pith::model
