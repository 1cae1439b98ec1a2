#include "layer_pass.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

#include "pith/model/layer_runner.h"
#include "testing_model.h"

// Sanitizers bring an allocator of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PITH_COUNTS_ALLOCATIONS 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#undef PITH_COUNTS_ALLOCATIONS
#endif
#endif

namespace {

// Bytes that this program has from `new`, and the most since somebody asked.
std::atomic<int64_t> now_allocated{0}, most_allocated{0};

}  // namespace

#ifdef PITH_COUNTS_ALLOCATIONS

namespace {

void* counted(void* p) {
  if (!p) throw std::bad_alloc();
  const auto bytes = static_cast<int64_t>(::malloc_usable_size(p));
  const int64_t now = now_allocated.fetch_add(bytes) + bytes;
  int64_t most = most_allocated.load();
  while (most < now && !most_allocated.compare_exchange_weak(most, now)) {
  }
  return p;
}

void give_back(void* p) {
  now_allocated.fetch_sub(static_cast<int64_t>(::malloc_usable_size(p)));
  std::free(p);
}

}  // namespace

void* operator new(size_t bytes) { return counted(std::malloc(bytes)); }
void* operator new(size_t bytes, std::align_val_t to) {
  const auto line = static_cast<size_t>(to);
  return counted(std::aligned_alloc(line, (bytes + line - 1) / line * line));
}
void operator delete(void* p) noexcept { give_back(p); }
void operator delete(void* p, size_t) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { give_back(p); }

#endif

namespace pith::model {
namespace {

using namespace testing;
using form::Matrix;
using form::MatrixView;

constexpr uint64_t kRank = 16;

DecoderConfig config_of_factors() {
  DecoderConfig c = small_config();
  c.layers = 2;
  c.width = 64;
  c.heads = 4;
  c.head_size = c.rope_size = 16;
  c.feed_forward = 192;
  c.context = 1024;
  return c;
}

std::vector<int32_t> some_ids(const DecoderConfig& c, size_t n) {
  std::mt19937 random(3);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % c.vocabulary);
  return ids;
}

// The model with every matrix of a layer in the form.
LanguageModel in_form(const DecoderConfig& c, const std::string& expression) {
  const LanguageModel dense = make_model(MemoryWeights(c, random_tensors(c)));
  LanguageModel::Parts parts;
  parts.config = dense.config();
  parts.weights = dense.weights();
  for (DecoderLayer& l : parts.weights.layers) {
    FeedForward& f = *l.feed_forward;
    for (Linear* linear : {&l.q, &l.k, &l.v, &l.output, &f.gate, &f.up, &f.down}) {
      const Matrix matrix = form::decode(*linear->weight);
      linear->weight = form::encode(form::parse(expression), matrix.view());
    }
  }
  return LanguageModel(std::move(parts));
}

// All rows together: who observes sees them so.
void nothing(std::span<const std::string_view>, MatrixView) {}

std::vector<float> logits_of(const LanguageModel& model, std::span<const int32_t> ids, size_t first,
                             bool together, int threads = 1) {
  Session session(model, ids.size(), threads);
  if (together) session.observe(nothing);
  session.feed(ids.first(first), Logits::kNone);
  const MatrixView logits = session.feed(ids.subspan(first), Logits::kAll);
  return {logits.data, logits.data + logits.shape.size()};
}

void expect_tiles_change_nothing(const LanguageModel& model) {
  const std::vector<int32_t> ids = some_ids(model.config(), 300);
  for (const size_t first : {0, 1, 37, 64}) {
    const std::vector<float> wanted = logits_of(model, ids, first, true);
    EXPECT_EQ(logits_of(model, ids, first, false), wanted);
    EXPECT_EQ(logits_of(model, ids, first, false, 3), wanted);
  }
}

TEST(LayerPass, TilesChangeNoBit) {
  DecoderConfig c = config_of_factors();
  expect_tiles_change_nothing(in_form(c, "lowrank(16)"));
  expect_tiles_change_nothing(in_form(c, "uniform(4, group=16)"));
  c.heads = 6;  // three that share keys and values: queries of a position in two tasks
  c.windows = {50, 0};
  expect_tiles_change_nothing(in_form(c, "dense(f16)"));
}

TEST(LayerPass, TilesChangeNoBitOfManyTexts) {
  const DecoderConfig c = config_of_factors();
  const LanguageModel model = in_form(c, "lowrank(16)");
  for (const uint64_t tokens : {1, 20, 64, 130}) {
    const Matrix stream = embed(*model.weights().embedding, some_ids(c, 7 * tokens));
    Matrix wanted = stream;
    LayerRunner(c, tokens).run(model.weights().layers[0], 0, wanted, nothing);
    for (const int threads : {1, 2}) {
      Matrix got = stream;
      LayerRunner(c, tokens, threads).run(model.weights().layers[0], 0, got);
      EXPECT_EQ(got.values, wanted.values) << tokens;
    }
  }
}

TEST(LayerPass, WhereOneRowIsAskedForItIsThatOfAll) {
  const LanguageModel model = in_form(config_of_factors(), "lowrank(16)");
  const std::vector<int32_t> ids = some_ids(model.config(), 200);
  Session all(model, 200), last(model, 200);
  const MatrixView wanted = all.feed(ids, Logits::kAll), got = last.feed(ids);
  for (uint64_t i = 0; i < got.shape.cols; ++i) {
    EXPECT_NEAR(got.data[i], wanted.row(199)[i], 1e-4F);
  }
}

#ifdef PITH_COUNTS_ALLOCATIONS

// The most bytes from `new` while a session reads its first text; keys and values are not of these.
int64_t peak(const LanguageModel& model, bool together) {
  const std::vector<int32_t> ids = some_ids(model.config(), 512);
  Session session(model, ids.size());
  if (together) session.observe(nothing);
  const int64_t before = now_allocated;
  most_allocated = before;
  session.feed(ids);
  return most_allocated - before;
}

TEST(LayerPass, NothingOfALayerIsThereForAllRows) {
  const DecoderConfig c = config_of_factors();
  const LanguageModel model = in_form(c, fmt::format("lowrank({})", kRank));
  peak(model, false);  // what is made once
  const int64_t tiles = peak(model, false), together = peak(model, true);
  const int64_t hidden = int64_t{512} * c.feed_forward * 4;
  EXPECT_GT(together, 2 * hidden);
  EXPECT_LT(tiles, hidden) << "not even one of the matrices that gate and up give";
  EXPECT_LT(2 * tiles, together);
  RecordProperty("tiles", static_cast<int>(tiles));
  RecordProperty("together", static_cast<int>(together));
}

#endif

}  // namespace
}  // namespace pith::model
