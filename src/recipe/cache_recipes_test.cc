// Published caches as they are registered: names, compositions, budgets, sizes, claims. What they
// lose of the reference model: cache_quality_test.cc.
#include "pith/recipe/cache_recipes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "../model/tokenizer_testing.h"
#include "pith/base/error.h"
#include "pith/form/expression.h"
#include "pith/recipe/cache_claims.h"
#include "pith/recipe/cache_sizes.h"
#include "pith/recipe/registry.h"
#include "pith/recipe/studies.h"

namespace pith::recipe {
namespace {

constexpr uint64_t kHeadSize = 64;

// Those that a session can run with; caches along axes need a profile: cache_axes_test.cc.
std::vector<CacheRecipe> running() {
  std::vector<CacheRecipe> out;
  for (const CacheRecipe& r : all_cache_recipes()) {
    if (!r.of_chunks && r.profile.empty()) out.push_back(r);
  }
  return out;
}

TEST(CacheRecipe, NamesAndIdsAreUniqueAndInOrder) {
  std::set<std::string_view> seen;
  for (const Recipe& r : all_recipes()) seen.insert({r.name, r.id});
  for (const Study& s : all_studies()) seen.insert(s.name);
  std::string_view last;
  for (const CacheRecipe& r : all_cache_recipes()) {
    EXPECT_LT(last, r.name);
    last = r.name;
    EXPECT_TRUE(seen.insert(r.name).second) << r.name;
    if (r.id != r.name) {
      EXPECT_TRUE(seen.insert(r.id).second) << r.id;
    }
    EXPECT_EQ(find_cache_recipe(r.name), find_cache_recipe(r.id));
    EXPECT_EQ(find_cache_recipe(r.name)->title, r.title);
  }
  EXPECT_EQ(find_cache_recipe(""), nullptr);
  EXPECT_EQ(find_cache_recipe("none"), nullptr);
}

TEST(CacheRecipe, EveryFieldSaysSomething) {
  const auto root = model::testing::source_root() / "include/pith";
  for (const CacheRecipe& r : all_cache_recipes()) {
    EXPECT_FALSE(r.title.empty() || r.summary.empty() || r.parts.empty()) << r.name;
    EXPECT_GT(r.verified.size(), 40U) << r.name;
    EXPECT_NE(r.example().find(r.name), std::string::npos);
    for (const std::string_view part : r.parts)
      EXPECT_TRUE(std::filesystem::exists(root / part)) << r.name << ": " << part;
  }
}

TEST(CacheRecipe, CompositionsAreReadAndWrittenTheSame) {
  for (const CacheRecipe& r : running()) {
    const kv::CacheOptions o = cache_options(r.name);
    EXPECT_EQ(kv::CacheOptions::parse(o.text()).text(), o.text()) << r.name;
    EXPECT_EQ(cache_options(r.compose).text(), o.text()) << r.name;
    EXPECT_EQ(cache_options(r.id).text(), o.text()) << r.name;
    EXPECT_GT(o.tile_bits(kHeadSize), 0U) << r.name;
  }
}

TEST(CacheRecipe, BudgetsAreForThoseThatLeaveTokensOut) {
  for (const CacheRecipe& r : running()) {
    if (!cache_options(r.name).keep) {
      EXPECT_THROW(cache_options(r.name, "25%"), Error) << r.name;
      continue;
    }
    const kv::CacheOptions share = cache_options(r.name, "30%");
    ASSERT_TRUE(share.budget) << r.name;
    EXPECT_DOUBLE_EQ(share.budget->share, 0.3) << r.name;
    EXPECT_EQ(cache_options(r.name, "700").budget->tokens, 700U) << r.name;
    EXPECT_EQ(kv::CacheOptions::parse(share.text()).text(), share.text()) << r.name;
    EXPECT_THROW(cache_options(r.name, "8"), Error) << r.name;  // the window alone is more
    EXPECT_THROW(cache_options(r.name, "0"), Error) << r.name;
    EXPECT_THROW(cache_options(r.name, "x"), Error) << r.name;
  }
}

TEST(CacheRecipe, WhatIsStoredAndSentIsNoCacheOfASession) {
  for (const CacheRecipe& r : all_cache_recipes()) {
    if (r.of_chunks) {
      EXPECT_THROW(cache_options(r.name), Error) << r.name;
    }
  }
}

TEST(CacheSizes, GrowAndCanBeRead) {
  for (const CacheRecipe& r : running()) {
    const std::vector<std::string> sizes = sizes_of_cache(r.name, kHeadSize);
    ASSERT_FALSE(sizes.empty()) << r.name;
    EXPECT_EQ(std::set(sizes.begin(), sizes.end()).size(), sizes.size()) << r.name;
    double last = 0;
    for (const std::string& s : sizes) {
      const kv::CacheOptions o = kv::CacheOptions::parse(s);
      const double size = o.budget ? o.budget->share : static_cast<double>(o.tile_bits(kHeadSize));
      EXPECT_GE(size, last) << s;
      last = size;
    }
  }
}

// As streams that hold so many bits; how fine they were is left out.
TEST(CacheSizes, StreamsAreTurnedByTheirBits) {
  for (const char* text : {"cachegen", "S087", "stream(step=0.3)", "stream(bits=1.5)"}) {
    EXPECT_TRUE(codes_chunks(text));
    const std::vector<std::string> sizes = sizes_of_cache(text, kHeadSize);
    ASSERT_EQ(sizes.size(), 80U) << text;
    EXPECT_EQ(std::set(sizes.begin(), sizes.end()).size(), sizes.size()) << text;
    EXPECT_EQ(kv::ChunkCoding::parse(sizes[7]).text(), chunk_coding(sizes[7]).text());
    EXPECT_NE(sizes[7].find("bits=1"), std::string::npos);
    EXPECT_EQ(sizes[7].find("step=0.3"), std::string::npos);
  }
  EXPECT_NE(sizes_of_cache("cachegen", kHeadSize)[0].find("anchor"), std::string::npos);
  EXPECT_FALSE(codes_chunks("h2o"));
  EXPECT_FALSE(codes_chunks("uniform(4)"));
}

TEST(CacheSizes, TurnWhatFormsHave) {
  EXPECT_EQ(sizes_of_cache("zeros", kHeadSize).size(), 1U);
  EXPECT_EQ(sizes_of_cache("ggml(q4_0)", kHeadSize).size(), 3U);
  EXPECT_EQ(sizes_of_cache("sparse(50%)", kHeadSize).size(), 99U);
  EXPECT_EQ(sizes_of_cache("sparse(8:16)", kHeadSize).size(), 16U);
  EXPECT_EQ(sizes_of_cache("integer(bits=3) > rans", kHeadSize).size(), 8U);
  // Outliers and ranks beside codes stay what they are.
  for (const std::string& s : sizes_of_cache("sparse(2%) + uniform(2) + lowrank(2)", kHeadSize)) {
    EXPECT_NE(s.find("sparse(2%)"), std::string::npos) << s;
    EXPECT_NE(s.find("lowrank(2)"), std::string::npos) << s;
  }
  EXPECT_THROW(sizes_of_cache("uniform(", kHeadSize), Error);
  EXPECT_THROW(sizes_of_cache("", kHeadSize), Error);
}

TEST(CacheSizes, TheLargestThatFitsIsFound) {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back(std::to_string(i));
  for (const double power : {0.2, 1.0, 5.0}) {
    int tries = 0;
    const auto held = [&](const std::string& n) {
      ++tries;
      return 16 * std::pow((std::stod(n) + 1) / 100, power);
    };
    for (const int at : {0, 1, 17, 50, 98, 99}) {
      tries = 0;
      const double bits = held(std::to_string(at));
      EXPECT_EQ(largest_cache(names, bits + 1e-9, held), std::to_string(at)) << power;
      EXPECT_LT(tries, 15);
    }
    EXPECT_EQ(largest_cache(names, held("0") / 2, held), "");
  }
  const auto never = [](const std::string&) -> double { throw Error(ErrorKind::kUsage, "asked"); };
  EXPECT_EQ(largest_cache({}, 4, never), "");
  const std::vector<std::string> one = {"one"};
  EXPECT_EQ(largest_cache(one, 4, [](const std::string&) { return 4.0; }), "one");
  EXPECT_EQ(largest_cache(one, 4, [](const std::string&) { return 4.1; }), "");
}

// Of what needs a profile, which is not there, the notation alone is read.
std::string read_text(std::string_view cache) {
  const CacheRecipe* r = find_cache_recipe(cache);
  const form::Expression e = form::parse(r ? r->compose : cache);
  if (e.argument("profile")) return form::to_string(e);
  return codes_chunks(cache) ? chunk_coding(cache).text() : cache_options(cache).text();
}

TEST(CacheClaims, AreOfRecipesAndOfCachesThatCanBeRead) {
  std::string_view last;
  for (const CacheClaim& c : all_cache_claims()) {
    EXPECT_LE(last, c.recipe);
    last = c.recipe;
    EXPECT_NE(find_cache_recipe(c.recipe), nullptr) << c.recipe;
    EXPECT_NE(read_text(c.cache), read_text(c.than)) << c.says;
    EXPECT_FALSE(c.says.empty()) << c.recipe;
  }
}

}  // namespace
}  // namespace pith::recipe
