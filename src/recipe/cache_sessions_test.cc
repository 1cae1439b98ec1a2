// Published caches in sessions of a small random model.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "../model/testing_sessions.h"
#include "pith/base/file.h"
#include "pith/model/axes_profile.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::recipe {
namespace {

using namespace model::testing;
using model::Logits;
using model::Session;

// With heads that blocks of 32 and groups of 64 divide.
model::DecoderConfig config() {
  model::DecoderConfig c = small_config();
  c.layers = 2;
  c.heads = 4;
  c.head_size = c.rope_size = 64;
  c.context = 8192;
  return c;
}

// The cache of a recipe, with a profile of the model where it asks for one.
kv::CacheOptions cache_of(const CacheRecipe& r, const Small& m) {
  if (r.profile.empty()) return cache_options(r.name);
  Session s(m.model, 200);
  s.feed(m.ids(200, 3), Logits::kNone);
  const kv::Arrays read = s.keys_values(0, 200);
  const kv::Profile profile = kv::fit_profile(
      std::span(&read, 1),
      {.joined = kv::Joined::kHead, .rotation = model::rotation_of(m.config), .skipped = 0});
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("pith-cache-sessions-{}", ::getpid());
  write_file(path, profile.bytes(), true);
  const kv::CacheOptions out = cache_options(r.name, {}, path.string());
  std::filesystem::remove(path);
  return out;
}

TEST(CacheSessions, PromptsOfOneTokenUnderEveryRecipe) {
  const Small m(config());
  const auto ids = m.ids(120);
  Session plain(m.model, 1);
  const std::vector<float> wanted = floats(plain.feed(std::span(ids).first(1)));
  uint64_t tried = 0;
  for (const CacheRecipe& r : all_cache_recipes()) {
    if (r.of_chunks) continue;
    ++tried;
    Session s(m.model, ids.size(), 1, 0, cache_of(r, m));
    EXPECT_EQ(floats(s.feed(std::span(ids).first(1))), wanted) << r.name;
    for (size_t i = 1; i < ids.size(); ++i) {
      for (const float v : floats(s.feed(std::span(ids).subspan(i, 1))))
        ASSERT_TRUE(std::isfinite(v)) << r.name << ", token " << i;
    }
    EXPECT_EQ(s.position(), ids.size()) << r.name;
  }
  EXPECT_GT(tried, 15);
}

// However long the text, with a budget in tokens.
TEST(CacheSessions, ALadderOfFixedSizeDoesNotGrow) {
  const Small m(config());
  const auto ids = m.ids(4096);
  const auto read = [&](Session& s, uint64_t end) {
    while (s.position() < end)
      s.feed(std::span(ids).subspan(s.position(), std::min<uint64_t>(64, end - s.position())),
             Logits::kNone);
  };
  Session s(m.model, ids.size(), 1, 0, cache_options("lacache", "160"));
  Session share(m.model, ids.size(), 1, 0, cache_options("lacache"));
  uint64_t bytes = 0, bits = 0, of_share = 0;
  for (const uint64_t end : {1024U, 2048U, 4096U}) {
    read(s, end);
    if (end == 1024) {
      bytes = s.cache_bytes();
      bits = s.held_bits();
      read(share, end);
      of_share = share.held_bits();
    }
    EXPECT_NEAR(static_cast<double>(s.cache_bytes()), static_cast<double>(bytes), 0.03 * bytes);
    EXPECT_NEAR(static_cast<double>(s.held_bits()), static_cast<double>(bits), 0.1 * bits) << end;
    // All 2 * 2 heads of 64, 160 tokens of two bytes a number, and what tiles say of themselves.
    EXPECT_LT(s.held_bits(), 1.1 * 4 * 2 * 64 * 16 * 160);
  }
  EXPECT_GT(bits, 0.5 * 4 * 2 * 64 * 16 * 160);
  read(share, 4096);  // which a share of what was read does
  EXPECT_GT(share.held_bits(), 2 * of_share);
}

}  // namespace
}  // namespace pith::recipe
