#include <gtest/gtest.h>

#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

Description json(std::string_view text) {
  Description description = describe(as_bytes(text), "model.json");
  EXPECT_EQ(broken_promise(description, text.size()), "");
  return description;
}

std::string manifest(std::string_view paths, std::string_view weights) {
  return fmt::format(R"({{"weightsManifest":[{{"paths":[{}],"weights":[{}]}}]}})", paths, weights);
}

TEST(Index, ListsEachShardOnce) {
  const Description description = json(std::string(
      R"({"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors","c":"m-2.safetensors"}})"));
  EXPECT_EQ(description.layout.format, "safetensors-index");
  EXPECT_EQ(description.parts,
            (std::vector<std::filesystem::path>{"m-1.safetensors", "m-2.safetensors"}));
}

TEST(Index, LeavesOutShardsElsewhere) {
  const Description description =
      json(R"({"weight_map":{"a":"../x","b":"/x","c":7,"d":"here/x"}})");
  EXPECT_EQ(description.parts, (std::vector<std::filesystem::path>{"here/x"}));
  EXPECT_EQ(description.layout.notes.size(), 1u);
  EXPECT_EQ(json(R"({"weight_map":[]})").layout.format, "bytes");
  EXPECT_EQ(json(R"({"weight_map":{"a":"x","a":"y"}})").layout.format, "bytes");
}

TEST(Tfjs, DescribesTheWeightFile) {
  const Description description = describe(sample_tfjs(), "model.json");
  EXPECT_EQ(description.layout.format, "tfjs");
  ASSERT_EQ(description.companions.size(), 1u);
  EXPECT_EQ(description.companions[0].path, "toy.bin");
  EXPECT_EQ(description.companions[0].tensors,
            (std::vector<TensorRegion>{{"k", DType::kF32, {2, 2}, 0, 16, false},
                                       {"q", DType::kU8, {3}, 16, 3, false}}));
}

TEST(Tfjs, CutsAGroupIntoFilesOfFourMebibytes) {
  // 1 byte, then 6 MiB of floats, then 1 MiB: the second tensor lies in both files.
  const Description description =
      json(manifest(R"("s1","s2")", R"({"name":"a","shape":[1],"dtype":"bool"},
        {"name":"b","shape":[1572864],"dtype":"float32"},
        {"name":"c","shape":[2,131072],"dtype":"int32"})"));
  ASSERT_EQ(description.companions.size(), 2u);
  const auto& first = description.companions[0].tensors;
  const auto& second = description.companions[1].tensors;
  ASSERT_EQ(first.size(), 2u);
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(first[1], (TensorRegion{"b[0:1048575]", DType::kF32, {1048575}, 1, 4194300, false}));
  // The element that the cut goes through belongs to neither part.
  EXPECT_EQ(second[0],
            (TensorRegion{"b[1048576:1572864]", DType::kF32, {524288}, 1, 2097152, false}));
  EXPECT_EQ(second[1], (TensorRegion{"c", DType::kI32, {2, 131072}, 2097153, 1048576, false}));
}

TEST(Tfjs, LeavesUnusualCutsAsBytes) {
  const Description description =
      json(manifest(R"("s1","s2")", R"({"name":"a","shape":[8],"dtype":"bool"})"));
  ASSERT_EQ(description.companions.size(), 2u);
  EXPECT_TRUE(description.companions[0].tensors.empty());
  EXPECT_EQ(description.layout.notes.size(), 1u);
}

TEST(Tfjs, NumbersNamesThatStandTwice) {
  const char* weight = R"({"name":"a","shape":[8],"dtype":"uint8"})";
  const Description description = json(manifest(R"("s")", fmt::format("{},{}", weight, weight)));
  EXPECT_EQ(description.companions.at(0).tensors.at(1).name, "a#2");
  EXPECT_EQ(description.layout.notes.size(), 1u);
}

TEST(Tfjs, StopsAtStrings) {
  const Description description =
      json(manifest(R"("s")", R"({"name":"a","shape":[8],"dtype":"uint8"},
        {"name":"t","shape":[8],"dtype":"string"},{"name":"b","shape":[8],"dtype":"uint8"})"));
  EXPECT_EQ(description.companions.at(0).tensors.size(), 1u);
  EXPECT_EQ(description.layout.notes.size(), 1u);
}

TEST(Tfjs, RefusesWhatCannotBe) {
  const char* weight = R"({"name":"a","shape":[8],"dtype":"uint8"})";
  for (const std::string& text :
       {manifest(R"("../x")", weight), manifest(R"("/x")", weight), manifest("7", weight),
        manifest(R"("x","x")", weight), manifest(R"("x")", "7"),
        manifest(R"("x")", R"({"name":"a"})"),
        manifest(R"("x")", R"({"name":"a","shape":[4294967296,4294967296,2],"dtype":"int32"})"),
        manifest(R"("x")", R"({"name":"a","shape":[18446744073709551615],"dtype":"uint8"},
                              {"name":"b","shape":[2],"dtype":"uint8"})"),
        std::string(R"({"weightsManifest":7})"), std::string(R"({"weightsManifest":[7]})")}) {
    const Description description = json(text);
    EXPECT_LE(description.layout.tensors.size(), 0u);
    EXPECT_EQ(description.layout.notes.size(), 1u) << text;
  }
}

TEST(ModelJson, OtherJsonIsBytesWithoutANote) {
  for (const char* text : {"{}", "{\"a\":[1,2]}", "[]", "{\"x\":\"\\\"weight_map\\\"\"}"}) {
    const Layout layout = json(text).layout;
    EXPECT_EQ(layout.format, "bytes") << text;
    EXPECT_TRUE(layout.notes.empty()) << text;
  }
}

TEST(CompanionLayout, DropsWhatTheRealFileDoesNotHave) {
  Companion companion{"x",
                      {{"a", DType::kU8, {4}, 0, 4, false}, {"b", DType::kU8, {4}, 4, 4, false}}};
  EXPECT_EQ(layout_of(companion, 8).tensors.size(), 2u);
  const Layout shorter = layout_of(companion, 7);
  EXPECT_EQ(shorter.tensors.size(), 1u);
  EXPECT_EQ(shorter.notes.size(), 1u);
}

}  // namespace
}  // namespace pith::io
