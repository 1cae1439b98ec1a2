#include <gtest/gtest.h>

#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

Description model(const Proto& graph) {
  const Bytes file = onnx_model(graph);
  Description description = describe(file, "m.onnx");
  EXPECT_EQ(broken_promise(description, file.size()), "");
  EXPECT_EQ(description.layout.format, "onnx");
  return description;
}

Layout initializer(const Proto& tensor) { return model(Proto().message(5, tensor)).layout; }

Proto external(std::string_view location, std::string_view offset, std::string_view length) {
  Proto tensor = onnx_tensor("x", 1, {4});
  const auto entry = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) tensor.message(13, Proto().text(1, key).text(2, value));
  };
  entry("location", location);
  entry("offset", offset);
  entry("length", length);
  return tensor.varint(14, 1);
}

TEST(Onnx, FindsInitializersConstantsAndNestedGraphs) {
  const Bytes file = sample_onnx();
  const Description description = describe(file, "toy.onnx");
  std::vector<std::string> names;
  for (const TensorRegion& region : description.layout.tensors) {
    names.push_back(region.name);
    EXPECT_EQ(file[region.offset + 3], 3) << region.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"c", "in", "w"}));
  ASSERT_EQ(description.companions.size(), 1u);
  EXPECT_EQ(description.companions[0].path, "toy.bin");
  EXPECT_EQ(description.companions[0].tensors,
            (std::vector<TensorRegion>{{"far", DType::kF32, {4}, 64, 16, false}}));
}

TEST(Onnx, ReadsPackedFloatsAndDoubles) {
  EXPECT_EQ(initializer(onnx_tensor("f", 1, {2}).bytes(4, counting(8))).tensors.size(), 1u);
  EXPECT_EQ(initializer(onnx_tensor("d", 11, {2}).bytes(10, counting(16))).tensors.size(), 1u);
  // A type that the field cannot hold, and variable-length integers.
  EXPECT_EQ(initializer(onnx_tensor("h", 10, {2}).bytes(4, counting(4))).tensors.size(), 0u);
  EXPECT_EQ(initializer(onnx_tensor("i", 7, {2}).bytes(7, counting(2))).notes.size(), 1u);
}

TEST(Onnx, ReadsPackedDims) {
  const auto tensor =
      Proto().bytes(1, Bytes{2, 0x80, 1}).varint(2, 2).text(8, "p").bytes(9, counting(256));
  EXPECT_EQ(initializer(tensor).tensors.at(0).shape, (std::vector<uint64_t>{2, 128}));
}

TEST(Onnx, LeavesTensorsThatCannotBeAsBytes) {
  for (const Proto& tensor :
       {onnx_tensor("short", 1, {3}).bytes(9, counting(8)),
        onnx_tensor("text", 8, {1}).text(6, "a"),
        onnx_tensor("type", 99, {1}).bytes(9, counting(8)),
        onnx_tensor("negative", 1, {UINT64_MAX}).bytes(9, counting(8)),
        onnx_tensor("huge", 1, {1ull << 62, 1ull << 62}).bytes(9, counting(8)),
        onnx_tensor("twice", 1, {2}).bytes(9, counting(8)).bytes(9, counting(8)),
        onnx_tensor("odd nibbles", 22, {3}).bytes(9, counting(2))}) {
    const Layout layout = initializer(tensor);
    EXPECT_TRUE(layout.tensors.empty());
    EXPECT_EQ(layout.notes.size(), 1u);
  }
}

TEST(Onnx, NumbersNamesThatStandTwice) {
  const auto tensor = onnx_tensor("w", 2, {4}).bytes(9, counting(4));
  const Layout layout = model(Proto().message(5, tensor).message(5, tensor)).layout;
  ASSERT_EQ(layout.tensors.size(), 2u);
  EXPECT_EQ(layout.tensors[1].name, "w#2");
}

TEST(Onnx, RefusesPathsOutOfTheFolder) {
  for (const char* path : {"/etc/passwd", "../x", "a/../../x", "", "a\\b", "C:x", ".", "a/"}) {
    const Description description = model(Proto().message(5, external(path, "0", "16")));
    EXPECT_TRUE(description.companions.empty()) << path;
    EXPECT_EQ(description.layout.notes.size(), 1u) << path;
  }
  EXPECT_EQ(model(Proto().message(5, external("./a//b", "", ""))).companions.at(0).path, "a/b");
}

TEST(Onnx, RefusesExternalRangesThatCannotBe) {
  for (const auto& [offset, length] :
       {std::pair("-1", "16"), std::pair("x", "16"), std::pair("0", "15"),
        std::pair("99999999999999999999", "16"), std::pair("18446744073709551615", "16")}) {
    const Description description = model(Proto().message(5, external("a", offset, length)));
    for (const Companion& companion : description.companions)
      EXPECT_TRUE(companion.tensors.empty());
    EXPECT_EQ(description.layout.notes.size(), 1u) << offset;
  }
}

TEST(Onnx, SharedExternalDataBelongToTheFirst) {
  const Description description =
      model(Proto().message(5, external("a", "0", "16")).message(5, external("a", "8", "16")));
  EXPECT_EQ(description.companions.at(0).tensors.size(), 1u);
  EXPECT_EQ(description.layout.notes.size(), 1u);
}

TEST(Onnx, GraphsNestedTooDeepAreRefused) {
  Proto graph = Proto().message(5, onnx_tensor("w", 2, {4}).bytes(9, counting(4)));
  for (int k = 0; k < 1000; ++k) {
    graph = Proto().message(1, Proto().message(5, Proto().message(6, graph)));
  }
  const Layout layout = describe(onnx_model(graph), "m.onnx").layout;
  EXPECT_EQ(layout.format, "bytes");
  EXPECT_NE(layout.notes.at(0).find("nested too deep"), std::string::npos);
}

TEST(Onnx, OtherFilesAreNotTakenForModels) {
  for (const char* text : {"", "hello world", "\x08\x07", "{}", "\n\n\n"}) {
    const Layout layout = describe(bytes_of(text), "file").layout;
    EXPECT_EQ(layout.format, "bytes");
    EXPECT_TRUE(layout.notes.empty()) << text;
  }
  EXPECT_EQ(describe(bytes_of("hello"), "file.onnx").layout.notes.size(), 1u);
}

}  // namespace
}  // namespace pith::io
