#include "pith/io/gguf_metadata.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pith/base/error.h"
#include "pith/io/write.h"

namespace pith::io {
namespace {

GgufMetadata all_types() {
  return {{"u8", uint8_t{200}},
          {"i8", int8_t{-3}},
          {"u16", uint16_t{60000}},
          {"i16", int16_t{-300}},
          {"u32", uint32_t{4'000'000'000}},
          {"i32", int32_t{-7}},
          {"f32", 1.5F},
          {"bool", true},
          {"string", std::string("Öl")},
          {"u64", uint64_t{1} << 60},
          {"i64", int64_t{-1}},
          {"f64", 0.1},
          {"u8s", std::vector<uint8_t>{0, 255}},
          {"i8s", std::vector<int8_t>{-128, 127}},
          {"u16s", std::vector<uint16_t>{65535}},
          {"i16s", std::vector<int16_t>{-1}},
          {"u32s", std::vector<uint32_t>{}},
          {"i32s", std::vector<int32_t>{1, -2, 3}},
          {"f32s", std::vector<float>{0.0F, -2.25F}},
          {"bools", std::vector<bool>{true, false, true}},
          {"strings", std::vector<std::string>{"", "a", "▁the"}},
          {"u64s", std::vector<uint64_t>{UINT64_MAX}},
          {"i64s", std::vector<int64_t>{INT64_MIN}},
          {"f64s", std::vector<double>{1e300}}};
}

std::string message_of(ByteView file) {
  try {
    read_gguf_metadata(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    return error.what();
  }
  return "";
}

TEST(GgufMetadata, ComesBackAsWritten) {
  EXPECT_EQ(read_gguf_metadata(gguf_header(all_types(), {})), all_types());
}

TEST(GgufMetadata, IsFoundByNameAndType) {
  const GgufMetadata metadata = all_types();
  ASSERT_NE(find_as<std::string>(metadata, "string"), nullptr);
  EXPECT_EQ(*find_as<std::string>(metadata, "string"), "Öl");
  EXPECT_EQ(find_as<uint32_t>(metadata, "string"), nullptr);
  EXPECT_EQ(find(metadata, "no such key"), nullptr);
}

TEST(GgufMetadata, LeavesOutArraysOfArrays) {
  Bytes file;
  ByteWriter writer(file);
  const auto string = [&](std::string_view text) {
    writer.u64(text.size());
    writer.bytes(as_bytes(text));
  };
  writer.bytes(as_bytes("GGUF"));
  writer.u32(3);
  writer.u64(0);
  writer.u64(2);
  string("nested");
  writer.u32(9);
  writer.u32(9);
  writer.u64(2);
  writer.u32(0);  // [1, 2]
  writer.u64(2);
  writer.u8(1);
  writer.u8(2);
  writer.u32(8);  // ["x"]
  writer.u64(1);
  string("x");
  string("after");
  writer.u32(4);
  writer.u32(5);
  EXPECT_EQ(read_gguf_metadata(file), (GgufMetadata{{"after", uint32_t{5}}}));
}

TEST(GgufMetadata, RefusesWhatIsNoGguf) {
  EXPECT_NE(message_of(as_bytes("")).find("does not begin with GGUF"), std::string::npos);
  EXPECT_NE(message_of(as_bytes("safetensors")).find("does not begin"), std::string::npos);
  EXPECT_NE(message_of(as_bytes(std::string_view("GGUF\4\0\0\0", 8))).find("version"),
            std::string::npos);
}

TEST(GgufMetadata, RefusesEveryTruncation) {
  const Bytes file = gguf_header(all_types(), {}, 8);
  // The last pair ends within the last 8 bytes, which may be padding.
  for (size_t size = 0; size + 8 < file.size(); ++size) {
    EXPECT_NE(message_of(ByteView(file).first(size)), "") << size;
  }
}

TEST(GgufMetadata, BelievesNoCount) {
  Bytes file = gguf_header({{"k", std::vector<std::string>{"a"}}}, {});
  // magic, version, tensors, pairs, key: 4 + 4 + 8 + 8 + 9; then two types and the count.
  store_le(&file[33 + 8], UINT64_MAX / 2);
  EXPECT_NE(message_of(file).find("a count is larger than the file"), std::string::npos);
}

}  // namespace
}  // namespace pith::io
