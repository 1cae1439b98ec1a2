#include "pith/model/prompt_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "pith/base/error.h"
#include "pith/model/axes_profile.h"
#include "pith/model/model_hash.h"
#include "testing_model.h"

namespace pith::model {
namespace {

using namespace testing;

constexpr uint64_t kTokens = 32;  // of a chunk
const std::string kPlain = PromptStoreOptions().codings[0];

// What all stores of a test hold, and what goes wrong with them.
struct Shelf {
  std::map<Hash128, Bytes> chunks;
  bool unreachable = false, full = false;
  int gets_before_it_dies = 1 << 20;
  int puts = 0;
};

class MemoryStore final : public kv::Store {
 public:
  explicit MemoryStore(Shelf& shelf) : shelf_(shelf) {}
  std::string name() const override { return "shelf"; }
  std::vector<std::optional<uint64_t>> sizes(std::span<const Hash128> ids) override {
    reach();
    std::vector<std::optional<uint64_t>> out;
    for (const Hash128& id : ids) {
      const auto found = shelf_.chunks.find(id);
      out.push_back(found == shelf_.chunks.end() ? std::nullopt
                                                 : std::optional<uint64_t>(found->second.size()));
    }
    return out;
  }
  std::optional<Bytes> get(const Hash128& id, const Arrived& arrived) override {
    if (shelf_.gets_before_it_dies-- <= 0) shelf_.unreachable = true;
    reach();
    const auto found = shelf_.chunks.find(id);
    if (found == shelf_.chunks.end()) return std::nullopt;
    if (arrived) arrived(found->second);
    return found->second;
  }
  void put(const Hash128& id, ByteView chunk) override {
    reach();
    if (shelf_.full) fail(ErrorKind::kIo, "shelf: full");
    shelf_.chunks[id] = {chunk.begin(), chunk.end()};
    ++shelf_.puts;
  }
  std::vector<kv::StoredChunk> list() override { return {}; }

 private:
  void reach() const {
    if (shelf_.unreachable) fail(ErrorKind::kIo, "shelf: unreachable");
  }
  Shelf& shelf_;
};

class PromptStoreTest : public ::testing::Test {
 protected:
  PromptStoreTest() : model_(make(1)) {}

  static LanguageModel make(uint32_t seed) {
    DecoderConfig config = small_config();
    check(config);
    return make_model(MemoryWeights(config, random_tensors(config, seed)));
  }

  std::vector<int32_t> prompt(size_t n) const {
    std::mt19937 random(5);
    std::vector<int32_t> out(n);
    for (int32_t& id : out) id = static_cast<int32_t>(random() % model_.config().vocabulary);
    return out;
  }

  // Waits for the store whatever the model could do meanwhile, so that tests do not depend on time.
  PromptStore store(const std::string& coding = kPlain) {
    return PromptStore(std::make_unique<MemoryStore>(shelf_),
                       {.codings = {coding},
                        .chunk_tokens = kTokens,
                        .recompute = false,
                        .problem = [this](const std::string& what) { problems_.push_back(what); }});
  }

  // The logits behind the prompt, by a session of its own.
  std::vector<float> read(PromptStore& store, const std::vector<int32_t>& ids,
                          const char* cache_text = nullptr) {
    return read(store, model_, ids, cache_text);
  }
  static std::vector<float> read(PromptStore& store, const LanguageModel& model,
                                 const std::vector<int32_t>& ids,
                                 const char* cache_text = nullptr) {
    std::optional<kv::CacheOptions> cache;
    if (cache_text) cache = kv::CacheOptions::parse(cache_text);
    Session session(model, 1000, 1, 0, cache);
    store.read(session, ids, cache);
    const auto logits = session.feed(std::span(ids).subspan(session.position()));
    std::vector<float> out(logits.data, logits.data + logits.shape.size());
    store.push(session, ids);
    return out;
  }
  std::vector<float> plain(const std::vector<int32_t>& ids) const {
    Session session(model_, 1000);
    const auto logits = session.feed(ids);
    return {logits.data, logits.data + logits.shape.size()};
  }
  static void expect_near(const std::vector<float>& a, const std::vector<float>& b, double most) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], most) << i;
  }

  LanguageModel model_;
  Shelf shelf_;
  std::vector<std::string> problems_;
};

TEST_F(PromptStoreTest, WhatWasReadIsNotReadAgain) {
  const auto ids = prompt(200);
  PromptStore a = store(), b = store();
  expect_near(read(a, ids), plain(ids), 0);
  EXPECT_EQ(a.use().fetched, 0);
  EXPECT_EQ(a.use().pushed, 192);
  EXPECT_EQ(shelf_.chunks.size(), 6);
  expect_near(read(b, ids), plain(ids), 1e-5);
  EXPECT_EQ(b.use().fetched, 192);
  EXPECT_EQ(b.use().pushed, 0);
  EXPECT_EQ(b.use().recomputed, 0);
  // A text that begins alike.
  auto other = prompt(300);
  other[100] = (other[100] + 1) % static_cast<int32_t>(model_.config().vocabulary);
  expect_near(read(b, other), plain(other), 1e-5);
  EXPECT_EQ(b.use().fetched, 96);
  EXPECT_EQ(b.use().pushed, 192);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(PromptStoreTest, ShortPromptsAndWholeChunks) {
  PromptStore s = store();
  for (const size_t n : {1U, 31U, 32U, 33U, 64U}) {
    shelf_.chunks.clear();
    for (const bool again : {false, true}) {
      expect_near(read(s, prompt(n)), plain(prompt(n)), 1e-5);
      EXPECT_EQ(s.use().fetched, again ? (n - 1) / kTokens * kTokens : 0) << n;
      EXPECT_EQ(s.use().pushed, again ? 0 : n / kTokens * kTokens) << n;
    }
  }
  Session session(model_, 10);
  s.read(session, {});
  s.push(session, {});
  EXPECT_TRUE(problems_.empty());
}

TEST_F(PromptStoreTest, OtherModelsCachesAndCodingsHaveChunksOfTheirOwn) {
  const auto ids = prompt(100);
  PromptStore a = store(), coarse = store("uniform(4)");
  read(a, ids);
  read(a, make(2), ids);
  EXPECT_EQ(a.use().fetched, 0);
  read(a, ids, "uniform(4)");
  EXPECT_EQ(a.use().fetched, 0);
  read(a, ids, "uniform(4)");
  EXPECT_EQ(a.use().fetched, 96);
  read(coarse, ids);
  EXPECT_EQ(coarse.use().fetched, 0);
  const auto near = read(coarse, ids);
  EXPECT_EQ(coarse.use().fetched, 96);
  EXPECT_NE(near, plain(ids));
  EXPECT_TRUE(problems_.empty());
}

TEST_F(PromptStoreTest, ChunksThatAreMissingAreReadAndPut) {
  const auto ids = prompt(200);
  PromptStore s = store();
  read(s, ids);
  const auto chain = [&] {
    kv::ChunkMaker maker{model_hash(model_, 1000), kPlain};
    maker.coding = kv::ChunkCoding::parse(maker.coding).text();
    return kv::chain(maker, ids, kTokens);
  }();
  for (const size_t gone : {0U, 3U}) shelf_.chunks.erase(chain[gone]);
  expect_near(read(s, ids), plain(ids), 1e-5);
  EXPECT_EQ(s.use().fetched, 192 - 64);
  EXPECT_EQ(s.use().recomputed, 64);
  EXPECT_EQ(s.use().pushed, 64);
  EXPECT_EQ(shelf_.chunks.size(), 6);
}

TEST_F(PromptStoreTest, DamagedAndForeignChunksAreSaidOnceAndReplaced) {
  const auto ids = prompt(200);
  PromptStore first = store();
  read(first, ids);
  const auto whole = shelf_.chunks;
  const auto damage = [&](auto change) {
    problems_.clear();
    shelf_.chunks = whole;
    auto second = std::next(shelf_.chunks.begin());
    change(shelf_.chunks.begin()->second, second->second);
    PromptStore s = store();
    for (int times = 0; times < 2; ++times) expect_near(read(s, ids), plain(ids), 1e-5);
    EXPECT_EQ(problems_.size(), 1);
    EXPECT_EQ(shelf_.chunks, whole);
  };
  damage([](Bytes& a, Bytes&) { a.back() ^= 1; });
  damage([](Bytes& a, Bytes&) { a.resize(a.size() / 2); });
  damage([](Bytes& a, Bytes& b) { std::swap(a, b); });
  damage([](Bytes& a, Bytes&) { a = {1, 2, 3}; });
}

// Under the right id and with the right checksums.
TEST_F(PromptStoreTest, KeysOfAnotherShapeAreSaidAndNotTaken) {
  const auto ids = prompt(100);
  const auto coding = kv::ChunkCoding::parse(kPlain);
  kv::ChunkMaker maker{model_hash(model_, 1000), coding.text()};
  Hash128 before = kv::chain_root(maker);
  for (uint64_t at = 0; at < 96; at += kTokens) {
    kv::Arrays arrays{.heads = {1}, .first = at, .tokens = kTokens, .head_size = 4};
    arrays.keys.resize(arrays.size());
    arrays.values.resize(arrays.size());
    const auto part = std::span(ids).subspan(at, kTokens);
    const Hash128 id = kv::chain_next(before, part);
    shelf_.chunks[id] = kv::write_chunk(maker, coding, before, part, arrays);
    before = id;
  }
  PromptStore s = store();
  expect_near(read(s, ids), plain(ids), 1e-5);
  EXPECT_EQ(s.use().fetched, 0);
  EXPECT_EQ(problems_.size(), 1);
}

TEST_F(PromptStoreTest, WithoutItsStoreTheModelReads) {
  const auto ids = prompt(200);
  PromptStore s = store();
  shelf_.unreachable = true;
  for (int times = 0; times < 3; ++times) expect_near(read(s, ids), plain(ids), 0);
  EXPECT_EQ(problems_, std::vector<std::string>{"shelf: unreachable"});
  shelf_.unreachable = false;  // and back
  read(s, ids);
  EXPECT_EQ(s.use().pushed, 192);
  read(s, ids);
  EXPECT_EQ(s.use().fetched, 192);
}

TEST_F(PromptStoreTest, AStoreThatDiesOnTheWayOrIsFull) {
  const auto ids = prompt(200);
  PromptStore s = store();
  shelf_.full = true;
  expect_near(read(s, ids), plain(ids), 0);
  EXPECT_EQ(problems_, std::vector<std::string>{"shelf: full"});
  shelf_.full = false;
  read(s, ids);
  problems_.clear();
  PromptStore t = store();
  shelf_.gets_before_it_dies = 3;
  expect_near(read(t, ids), plain(ids), 1e-5);
  EXPECT_EQ(t.use().fetched, 96);
  EXPECT_EQ(problems_, std::vector<std::string>{"shelf: unreachable"});
}

// Both at once: whoever is first, the result is the same.
TEST_F(PromptStoreTest, ReadingAndFetchingMeet) {
  const auto ids = prompt(700);
  PromptStore filling = store();
  read(filling, ids);
  for (int times = 0; times < 3; ++times) {
    PromptStore s(std::make_unique<MemoryStore>(shelf_), {.chunk_tokens = kTokens});
    s.took(1, times == 0 ? 1e-9 : times == 1 ? 1 : 1e-4);  // it reads fast, slowly, as it does
    expect_near(read(s, ids), plain(ids), 1e-5);
    EXPECT_LE(s.use().fetched + s.use().recomputed, 672);
  }
}

TEST_F(PromptStoreTest, OfSeveralCodingsTheFinestIsFetchedWhereThereIsNoDeadline) {
  const auto ids = prompt(200);
  PromptStoreOptions o{.codings = {kPlain, "uniform(8)", "uniform(2, group=40)"},
                       .chunk_tokens = kTokens,
                       .recompute = false};
  PromptStore s(std::make_unique<MemoryStore>(shelf_), o);
  read(s, ids);
  EXPECT_EQ(s.use().pushed, 192);
  EXPECT_EQ(shelf_.chunks.size(), 18);
  expect_near(read(s, ids), plain(ids), 1e-5);
  EXPECT_EQ(s.use().fetched_in, (std::vector<uint64_t>{192, 0, 0}));
  // Others have put, or will want, one of them alone.
  PromptStore coarse = store(o.codings[2]);
  const auto far = read(coarse, ids);
  EXPECT_EQ(coarse.use().fetched, 192);
  EXPECT_EQ(coarse.use().fetched_in, std::vector<uint64_t>{192});
  o.codings.erase(o.codings.begin());
  o.deadline = 1e-9;
  PromptStore late(std::make_unique<MemoryStore>(shelf_), o);
  EXPECT_EQ(read(late, ids), far);
  EXPECT_EQ(late.use().fetched_in[1], 192);
}

// What was read behind coarse chunks is no better than they are.
TEST_F(PromptStoreTest, BehindCoarseChunksNothingIsPutAsFine) {
  const auto ids = prompt(200);
  const std::string coarsest = "uniform(2, group=40)";
  PromptStore first = store(coarsest);
  read(first, {ids.begin(), ids.begin() + 100});  // three chunks
  PromptStoreOptions o{.codings = {kPlain, coarsest}, .chunk_tokens = kTokens, .recompute = false};
  PromptStore s(std::make_unique<MemoryStore>(shelf_), o);
  Session session(model_, 1000);
  // In two prompts of one session, as conversations go on.
  for (const size_t n : {150U, 200U}) {
    const auto part = std::span(ids).first(n);
    s.read(session, part);
    EXPECT_EQ(s.use().fetched_in, (std::vector<uint64_t>{0, n == 150 ? 96U : 0U}));
    session.feed(part.subspan(session.position()));
    s.push(session, part);
    EXPECT_EQ(s.use().pushed, n == 150 ? 32 : 64);
  }
  EXPECT_EQ(shelf_.chunks.size(), 6);  // all of them coarse
  // Another session reads anew what it does not find.
  PromptStore fine = store();
  expect_near(read(fine, ids), plain(ids), 0);
  EXPECT_EQ(fine.use().pushed, 192);
  EXPECT_EQ(shelf_.chunks.size(), 12);
}

TEST_F(PromptStoreTest, StreamsUndoTheRotationOfTheModelAndMayNotSayAnother) {
  DecoderConfig config = small_config();
  config.rope_base = 5e5F;
  config.rope_layout = RopeLayout::kPairs;
  check(config);
  const LanguageModel model = make_model(MemoryWeights(config, random_tensors(config)));
  const auto coding_of = [&](const std::string& coding) {
    shelf_.chunks.clear();
    PromptStore s = store(coding);
    read(s, model, prompt(33));
    return kv::read_chunk(shelf_.chunks.begin()->second).header.maker.coding;
  };
  const auto says = [](const std::string& text, const char* what) {
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  says(coding_of("stream(level=4)"), "base=500000");
  says(coding_of("stream(level=4)"), "neighbours=true");
  says(coding_of("stream(level=4, base=500000)"), "base=500000, neighbours=true");
  says(coding_of("stream(level=4, rope=kept)"), "rope=kept");
  for (const char* other : {"stream(level=4, base=777)", "stream(level=4, neighbours=false)"}) {
    EXPECT_THROW(coding_of(other), Error) << other;
    EXPECT_THROW(store(other).check_coding(model), Error) << other;
  }
}

// Turned by a part of each head, or by angles that are scaled.
TEST_F(PromptStoreTest, RotationsThatNoBaseSaysHaveFrequencies) {
  DecoderConfig config = small_config();
  EXPECT_TRUE(rotation_of(config).frequencies.empty());
  config.rope_size = 8;
  const auto base = static_cast<float>(config.rope_base);
  const std::vector<float> part = rotation_of(config).frequencies;
  ASSERT_EQ(part.size(), 4);
  EXPECT_FLOAT_EQ(part[2], std::pow(base, -0.5F));
  config.rope_size = config.head_size;
  config.rope_scaling.kind = RopeScaling::Kind::kLinear;
  config.rope_scaling.factor = 4;
  const std::vector<float> scaled = rotation_of(config).frequencies;
  ASSERT_EQ(scaled.size(), config.head_size / 2);
  EXPECT_FLOAT_EQ(scaled[0], 0.25F);
}

TEST_F(PromptStoreTest, ASessionGoesOnFromWhereItIs) {
  const auto ids = prompt(200);
  PromptStore s = store();
  read(s, ids);
  Session session(model_, 1000);
  session.feed(std::span(ids).first(50), Logits::kNone);
  s.read(session, ids);
  EXPECT_EQ(session.position(), 192);
  EXPECT_EQ(s.use().fetched, 192 - 50);
  const auto logits = session.feed(std::span(ids).subspan(192));
  expect_near({logits.data, logits.data + logits.shape.size()}, plain(ids), 1e-5);
}

TEST_F(PromptStoreTest, CodingsThatTheModelCannotHaveAreToldBeforeItReads) {
  store().check_coding(model_);
  store("cache(ggml(q4_0), values_by=channel)").check_coding(model_);  // rows of 32 tokens
  EXPECT_THROW(store("ggml(q4_0)").check_coding(model_), Error);       // heads of 20
  EXPECT_THROW(store("nonesuch").check_coding(model_), Error);
  EXPECT_THROW(store("cache(uniform(4), window=0)"), Error);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(PromptStoreTest, CachesThatLeaveTokensOutAreRefused) {
  PromptStore s = store();
  const auto cache =
      kv::CacheOptions::parse("cache(keep=sink(4) + window(28), budget=64, window=16, tile=16)");
  Session session(model_, 1000);
  EXPECT_THROW(s.read(session, prompt(100), cache), Error);
  EXPECT_EQ(session.position(), 0);
}

TEST_F(PromptStoreTest, AnInterruptionGoesThrough) {
  const auto ids = prompt(200);
  PromptStore s = store();
  read(s, ids);
  Session session(model_, 1000);
  EXPECT_THROW(s.read(session, ids, {}, [](uint64_t, uint64_t) { return false; }), Error);
  EXPECT_THROW(PromptStore(std::make_unique<MemoryStore>(shelf_), {.chunk_tokens = 0}), Error);
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{}, {"no form"}, {"uniform(4)", "uniform(4)"}})
    EXPECT_THROW(PromptStore(std::make_unique<MemoryStore>(shelf_), {.codings = wrong}), Error);
  EXPECT_THROW(PromptStore(std::make_unique<MemoryStore>(shelf_), {.deadline = 0}), Error);
}

TEST(ModelHash, TellsModelsApart) {
  const DecoderConfig config = small_config();
  const auto hash = [&](const DecoderConfig& c, uint32_t seed, uint64_t capacity = 100) {
    DecoderConfig checked = c;
    check(checked);
    return model_hash(make_model(MemoryWeights(checked, random_tensors(checked, seed))), capacity);
  };
  const Hash128 one = hash(config, 1);
  EXPECT_EQ(hash(config, 1), one);
  EXPECT_EQ(hash(config, 1, 1000), one);
  EXPECT_NE(hash(config, 2), one);
  DecoderConfig other = config;
  other.rope_base *= 2;
  EXPECT_NE(hash(other, 1), one);
  other = config;
  other.norm_eps *= 2;
  EXPECT_NE(hash(other, 1), one);
  other = config;
  other.name = "another";
  EXPECT_EQ(hash(other, 1), one);
  // One number of one matrix.
  Tensors tensors = random_tensors(config);
  tensors.at("model.layers.1.mlp.down_proj.weight").values[5] += 1;
  EXPECT_NE(model_hash(make_model(MemoryWeights(config, tensors)), 100), one);
  // Rotations that depend on the length.
  DecoderConfig dynamic = config;
  dynamic.context = 200;
  dynamic.rope_scaling.kind = RopeScaling::Kind::kDynamic;
  dynamic.rope_scaling.factor = 2;
  EXPECT_NE(hash(dynamic, 1, 300), hash(dynamic, 1, 400));
}

}  // namespace
}  // namespace pith::model
