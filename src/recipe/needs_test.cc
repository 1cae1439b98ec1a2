// Models that recipes find nothing in, and names that are not there.
#include <gtest/gtest.h>

#include "../weights/testing_tiny.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using weights::testing::tiny;
using weights::testing::tiny_mixture;

std::string refusal(const std::function<void()>& work, ErrorKind kind = ErrorKind::kUsage) {
  try {
    work();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "";
}

std::string refusal(std::string_view recipe, const std::filesystem::path& model) {
  return refusal([&] { require_model(&find_recipe(recipe), model); });
}

TEST(Needs, RecipesAreForSomeModels) {
  const auto dense = tiny().folder.path(), mixture = tiny_mixture().folder.path();
  EXPECT_EQ(refusal("stat-prune", dense), "");
  EXPECT_NE(refusal("stat-prune", mixture).find("mixtures of experts; llm-surgeon"),
            std::string::npos);
  EXPECT_EQ(refusal("late-attention", mixture), "");
  EXPECT_EQ(refusal("mc-moe", mixture), "");
  EXPECT_NE(refusal("mc-moe", dense).find("hawq-v3 is the nearest"), std::string::npos);
  EXPECT_EQ(refusal("gptq", mixture), "");
}

// What takes parts out of layers works on some model or says so, and what is named instead fits.
TEST(Needs, TheNearestFitsWhereTheRecipeDoesNot) {
  for (const Recipe& r : all_recipes()) {
    const Needs& n = r.needs;
    EXPECT_EQ(n.dense || n.experts || n.safetensors, !n.nearest.empty()) << r.name;
    if (n.nearest.empty()) continue;
    const Needs& other = find_recipe(n.nearest).needs;
    EXPECT_FALSE(other.dense || other.experts || other.safetensors) << r.name;
  }
  for (const std::string_view name : reducing_recipes()) {
    EXPECT_TRUE(find_recipe(name).needs.safetensors) << name;
  }
}

TEST(Needs, WhatIsNoLanguageModelIsSaidWithWhatItTakes) {
  const model::testing::Folder folder;
  const std::string config = R"({"model_type": "bert", "hidden_size": 8})";
  write_file(folder.path() / "config.json", as_bytes(config), true);
  const std::string bert =
      refusal([&] { require_model(nullptr, folder.path()); }, ErrorKind::kData);
  EXPECT_NE(bert.find("bert"), std::string::npos) << bert;
  EXPECT_NE(bert.find("--form"), std::string::npos) << bert;
  write_file(folder.path() / "net.onnx", as_bytes("x"), true);
  const std::string onnx = refusal("gptq", folder.path() / "net.onnx");
  EXPECT_NE(onnx.find("--form"), std::string::npos) << onnx;
  EXPECT_EQ(onnx.find("GGUF"), std::string::npos) << onnx;
}

TEST(FindRecipe, NamesTheNearest) {
  EXPECT_NE(refusal([] { find_recipe("gptqq"); }).find("nearest by name: gptq "),
            std::string::npos);
  EXPECT_NE(refusal([] { find_recipe("wonda"); }).find("wanda"), std::string::npos);
  EXPECT_NE(refusal([] { find_recipe("gear"); }).find("--kv"), std::string::npos);
  EXPECT_NE(refusal([] { find_recipe("what-is-this"); }).find("there are: adaquant"),
            std::string::npos);
}

}  // namespace
}  // namespace pith::recipe
