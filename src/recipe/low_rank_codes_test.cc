// Low ranks that are rounded, on the reference model.
#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "testing_reference.h"

namespace pith::recipe {
namespace {

using testing::of_recipe;
using testing::Outcome;

// Attention of the last three layers.
constexpr std::string_view kOthers = "layers.[0-4]|mlp";

TEST(CaspQuality, QueriesAndKeysAreFactored) {
  const Outcome made = of_recipe("casp", {{"bits", "4"}}, kOthers);
  EXPECT_EQ(made.tensors.size(), 12u);
  for (const weights::PlannedTensor& t : made.tensors) {
    const bool factored =
        t.name.find("q_proj") != t.name.npos || t.name.find("k_proj") != t.name.npos;
    EXPECT_EQ(t.form.starts_with("lowrank("), factored) << t.name;
    EXPECT_NE(t.form.find("uniform(4, group=64, zero=true)"), t.form.npos) << t.name;
  }
}

TEST(CaspQuality, BitsThatAreSharedOutLoseLess) {
  const Outcome same = of_recipe("casp", {{"bits", "3"}}, "layers.[2-7]");
  const Outcome shared =
      of_recipe("casp", {}, "layers.[2-7]", {.bytes = static_cast<uint64_t>(same.bytes)});
  EXPECT_LE(shared.bytes, 1.001 * same.bytes);
  EXPECT_LT(shared.divergence, same.divergence);
}

TEST(Casp, RefusesWhatItCannotDo) {
  Plan plan;
  const Recipe& recipe = find_recipe("casp");
  for (const char* bits : {"", "0", "9", "2+", "x"}) {
    EXPECT_THROW(apply(recipe, {{"bits", bits}}, plan), Error) << bits;
  }
  EXPECT_THROW(apply(recipe, {{"factored", "q+up"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"keep", "75"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"keep", "120%"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"group", "0"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"damping", "-1"}}, plan), Error);
}

}  // namespace
}  // namespace pith::recipe
