#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pith/io/names.h"
#include "testing.h"

namespace pith::io {
namespace {

using namespace testing;

Layout layout_of(std::string_view json, ByteView data = {}) {
  const Bytes file = safetensors_file(json, data);
  const Description description = describe(file, "m.safetensors");
  EXPECT_EQ(broken_promise(description, file.size()), "");
  return description.layout;
}

// The file is plain bytes and the one note says why.
void expect_plain(std::string_view json, std::string_view why, ByteView data = {}) {
  const Layout layout = layout_of(json, data);
  EXPECT_EQ(layout.format, "bytes") << json;
  EXPECT_TRUE(layout.tensors.empty());
  ASSERT_EQ(layout.notes.size(), 1u) << json;
  EXPECT_NE(layout.notes[0].find(why), std::string::npos) << layout.notes[0];
}

TEST(Safetensors, GivesTensorsInTheOrderOfTheirOffsets) {
  const std::string json = R"({"__metadata__":{"z":"1","a":"ü"},)"
                           R"("late":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
                           R"("schön":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}  )";
  const Layout layout = layout_of(json, counting(12));
  EXPECT_EQ(layout.format, "safetensors");
  const uint64_t start = 8 + json.size();
  EXPECT_EQ(layout.tensors,
            (std::vector<TensorRegion>{{"schön", DType::kF32, {2, 1}, start, 8, false},
                                       {"late", DType::kBF16, {2}, start + 8, 4, false}}));
  EXPECT_EQ(layout.metadata,
            (std::vector<std::pair<std::string, std::string>>{{"z", "1"}, {"a", "ü"}}));
  EXPECT_TRUE(layout.notes.empty());
}

TEST(Safetensors, ReadsEveryType) {
  for (const DTypeInfo& type : all_dtypes()) {
    const std::string_view name = safetensors_name(type.dtype);
    if (name.empty()) continue;
    const uint64_t size = 4 / type.block_elements * type.block_bytes;
    const Layout layout = layout_of(
        fmt::format(R"({{"t":{{"dtype":"{}","shape":[4],"data_offsets":[0,{}]}}}})", name, size),
        counting(size));
    ASSERT_EQ(layout.tensors.size(), 1u) << name;
    EXPECT_EQ(layout.tensors[0].dtype, type.dtype);
  }
}

TEST(Safetensors, KeepsScalarsEmptyTensorsAndManyDimensions) {
  const Layout layout =
      layout_of(R"({"empty":{"dtype":"F32","shape":[5,0],"data_offsets":[4,4]},)"
                R"("eight":{"dtype":"U8","shape":[1,2,1,1,1,1,2,1],"data_offsets":[4,8]},)"
                R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                counting(8));
  ASSERT_EQ(layout.tensors.size(), 3u);
  EXPECT_EQ(layout.tensors[0].name, "scalar");
  EXPECT_EQ(layout.tensors[1].name, "empty");
  EXPECT_EQ(layout.tensors[1].size, 0u);
  EXPECT_EQ(layout.tensors[2].shape.size(), 8u);
}

TEST(Safetensors, AllowsNoTensorsAndGaps) {
  EXPECT_EQ(layout_of("{}").format, "safetensors");
  EXPECT_EQ(layout_of(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", counting(9))
                .tensors.size(),
            1u);
}

TEST(Safetensors, LeavesATensorOfUnknownTypeAsBytes) {
  const Layout layout = layout_of(R"({"a":{"dtype":"F7","shape":[2],"data_offsets":[0,4]},)"
                                  R"("b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
                                  counting(6));
  ASSERT_EQ(layout.tensors.size(), 1u);
  EXPECT_EQ(layout.tensors[0].name, "b");
  EXPECT_EQ(layout.notes,
            (std::vector<std::string>{"'a': the type 'F7' is unknown; it stays plain bytes"}));
}

TEST(Safetensors, RefusesWhatBreaksTheFormat) {
  const Bytes data = counting(16);
  const auto entry = [](const char* name, const char* shape, const char* offsets) {
    return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":{}}})", name, shape,
                       offsets);
  };
  const auto object = [](const std::vector<std::string>& members) {
    return fmt::format("{{{}}}", fmt::join(members, ","));
  };
  expect_plain(object({entry("a", "[2]", "[0,8]"), entry("a", "[2]", "[8,16]")}), "stands twice",
               data);
  expect_plain(object({entry("a", "[2]", "[0,8]"), entry("b", "[2]", "[4,12]")}), "overlaps", data);
  expect_plain(object({entry("a", "[2]", "[12,20]")}), "past the end", data);
  expect_plain(object({entry("a", "[2]", "[0,12]")}), "does not match", data);
  expect_plain(object({entry("a", "[2]", "[8,0]")}), "not a range", data);
  expect_plain(object({entry("a", "[2]", "[0]")}), "not a range", data);
  expect_plain(object({entry("a", "[-2]", "[0,8]")}), "something else than counts", data);
  expect_plain(object({entry("a", "[2.0]", "[0,8]")}), "something else than counts", data);
  expect_plain(object({entry("a", "[4294967296,4294967296,4294967296]", "[0,8]")}),
               "whole number of bytes", data);
  expect_plain(object({entry("a", "[18446744073709551615,0]", "[0,8]")}), "does not match", data);
  expect_plain(object({entry("a", "[2]", "[18446744073709551607,18446744073709551615]")}),
               "overflows", data);
  expect_plain(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "whole number", data);
  expect_plain(R"({"a":{"shape":[3],"data_offsets":[0,1]}})", "no dtype", data);
  expect_plain(R"({"a":7})", "no dtype", data);
  expect_plain(R"({"__metadata__":{"a":1}})", "more than text", data);
  expect_plain(R"([])", "not an object", data);
  expect_plain("{\"\xff\":1}", "not valid JSON", data);
  expect_plain("{\"a\":1", "not valid JSON", data);
  expect_plain("{} {}", "not valid JSON", data);
}

TEST(Safetensors, RefusesHeadersThatAreNotThere) {
  for (const uint64_t size : {uint64_t{9}, uint64_t{100'000'000}, UINT64_MAX, uint64_t{1} << 63}) {
    Bytes file(16, '{');
    store_le(file.data(), size);
    const Layout layout = describe(file, "m.safetensors").layout;
    EXPECT_EQ(layout.format, "bytes");
    EXPECT_EQ(layout.notes.size(), 1u);
  }
  EXPECT_EQ(describe({}, "m.safetensors").layout.format, "bytes");
}

TEST(Safetensors, DeepNestingDoesNotOverflowTheStack) {
  std::string deep = "{\"a\":";
  deep.append(5'000'000, '[');
  expect_plain(deep, "nested too deep");
  std::string objects;
  for (int k = 0; k < 100'000; ++k) objects += "{\"a\":";
  expect_plain(objects, "nested too deep");
}

TEST(Safetensors, IsRecognisedWithoutItsExtension) {
  EXPECT_EQ(describe(safetensors_file("{}", {}), "model.bin").layout.format, "safetensors");
}

}  // namespace
}  // namespace pith::io
