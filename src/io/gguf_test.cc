#include <gtest/gtest.h>

#include "pith/io/names.h"
#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

// Writes GGUF of any version and byte order, right or wrong.
class Builder {
 public:
  explicit Builder(uint32_t version = 3, bool big = false) : version_(version), big_(big) {
    out_ = bytes_of("GGUF");
    u32(version);
  }
  Builder& u8(uint8_t v) { return put(v); }
  Builder& u32(uint32_t v) { return put(v); }
  Builder& u64(uint64_t v) { return put(v); }
  Builder& length(uint64_t v) { return version_ == 1 ? u32(static_cast<uint32_t>(v)) : u64(v); }
  Builder& string(std::string_view v) {
    length(v.size());
    append(out_, as_bytes(v));
    return *this;
  }
  Builder& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                  uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) length(dim);
    return u32(type).u64(offset);
  }
  Bytes done(size_t data = 0, size_t alignment = 32) {
    if (data > 0) out_.resize((out_.size() + alignment - 1) / alignment * alignment + data);
    return out_;
  }

 private:
  template <class T>
  Builder& put(T value) {
    uint8_t raw[sizeof value];
    store_le(raw, value);
    if (big_) std::ranges::reverse(raw);
    append(out_, raw);
    return *this;
  }
  uint32_t version_;
  bool big_;
  Bytes out_;
};

Layout layout_of(const Bytes& file) {
  const Description description = describe(file, "m.gguf");
  EXPECT_EQ(broken_promise(description, file.size()), "");
  return description.layout;
}

void expect_plain(const Bytes& file, std::string_view why) {
  const Layout layout = layout_of(file);
  EXPECT_EQ(layout.format, "bytes");
  ASSERT_EQ(layout.notes.size(), 1u) << why;
  EXPECT_NE(layout.notes[0].find(why), std::string::npos) << layout.notes[0];
}

TEST(Gguf, ReadsEveryVersionInBothByteOrders) {
  for (const uint32_t version : {1u, 2u, 3u}) {
    for (const bool big : {false, true}) {
      Builder builder(version, big);
      builder.length(2).length(1).string("general.alignment").u32(4).u32(64);
      builder.tensor("b", {3, 2}, 0, 64).tensor("a", {32}, 2, 0);
      const Layout layout = layout_of(builder.done(64 + 24, 64));
      ASSERT_EQ(layout.tensors.size(), 2u) << version << big;
      EXPECT_EQ(layout.format, "gguf");
      EXPECT_EQ(layout.tensors[0].dtype, DType::kQ4_0);
      EXPECT_EQ(layout.tensors[1].offset % 64, 0u);
      EXPECT_EQ(layout.tensors[1].shape, (std::vector<uint64_t>{2, 3}));
      EXPECT_EQ(layout.tensors[1].big_endian, big);
      EXPECT_EQ(layout.metadata[0].second, "64");
    }
  }
}

TEST(Gguf, ReadsEveryTensorType) {
  for (const DTypeInfo& type : all_dtypes()) {
    const auto number = gguf_type(type.dtype);
    if (!number) continue;
    EXPECT_EQ(gguf_dtype(*number), type.dtype);
    Builder builder;
    builder.length(1).length(0).tensor("t", {256, 2}, *number, 0);
    const Layout layout = layout_of(builder.done(512 / type.block_elements * type.block_bytes));
    ASSERT_EQ(layout.tensors.size(), 1u) << type.name;
    EXPECT_EQ(layout.tensors[0].dtype, type.dtype);
  }
}

TEST(Gguf, ShowsMetadataAsText) {
  Builder builder;
  builder.length(0).length(6);
  builder.string("name").u32(8).string("Öl");
  builder.string("flag").u32(7).u8(1);
  builder.string("small").u32(1).u8(0xFF);
  builder.string("float").u32(6).u32(0x40200000);
  builder.string("list").u32(9).u32(8).length(6);
  for (const char* word : {"a", "b", "c", "d", "e", "f"}) builder.string(word);
  builder.string("nested").u32(9).u32(9).length(2);
  for (int k = 0; k < 2; ++k) builder.u32(0).length(2).u8(1).u8(2);
  const Layout layout = layout_of(builder.done());
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"name", "Öl"},
      {"flag", "true"},
      {"small", "-1"},
      {"float", "2.5"},
      {"list", "[a, b, c, d, … 6 items]"},
      {"nested", "[[1, 2], [1, 2]]"}};
  EXPECT_EQ(layout.metadata, expected);
}

TEST(Gguf, LeavesATensorOfUnknownTypeAsBytes) {
  for (const uint32_t type : {4u, 31u, 63u, 200u, 4294967295u}) {
    Builder builder;
    builder.length(2).length(0).tensor("odd", {8}, type, 0).tensor("known", {8}, 0, 32);
    const Layout layout = layout_of(builder.done(64));
    ASSERT_EQ(layout.tensors.size(), 1u) << type;
    EXPECT_EQ(layout.tensors[0].name, "known");
    EXPECT_EQ(layout.notes.size(), 1u);
  }
}

TEST(Gguf, RefusesCountsThatCannotBe) {
  expect_plain(Builder().u64(UINT64_MAX).u64(0).done(), "a count is larger");
  expect_plain(Builder().u64(0).u64(1 << 30).done(), "a count is larger");
  expect_plain(Builder().u64(0).u64(1).string("k").u32(9).u32(0).u64(UINT64_MAX).done(64),
               "a count is larger");
  expect_plain(Builder().u64(0).u64(1).string("k").u32(8).u64(UINT64_MAX - 4).done(64), "needs");
  expect_plain(Builder().u64(0).u64(1).u64(1 << 20).done(64), "needs");
  expect_plain(Builder().u64(0).u64(1).string("k").u32(13).done(64), "type of a value");
}

TEST(Gguf, RefusesArraysNestedTooDeep) {
  Builder builder;
  builder.u64(0).u64(1).string("k").u32(9);
  for (int k = 0; k < 100'000; ++k) builder.u32(9).u64(1);
  expect_plain(builder.done(64), "nested too deep");
}

TEST(Gguf, RefusesTensorsThatCannotBe) {
  const auto file = [](const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    return Builder().u64(1).u64(0).tensor("t", dims, type, offset).done(64);
  };
  EXPECT_EQ(layout_of(file({16}, 0, 0)).tensors.size(), 1u);
  EXPECT_EQ(layout_of(file({}, 0, 0)).tensors.size(), 1u);
  EXPECT_EQ(layout_of(file({0, 5}, 0, 64)).tensors.size(), 1u);
  expect_plain(file({17}, 0, 0), "past the end");
  expect_plain(file({16}, 0, 32), "past the end");
  expect_plain(file({4}, 0, 4), "not aligned");
  expect_plain(file({16, 2}, 2, 0), "not whole blocks");
  expect_plain(file({1ull << 32, 1ull << 32}, 0, 0), "whole number of bytes");
  expect_plain(file({4}, 0, UINT64_MAX - 31), "overflows");
  expect_plain(file(std::vector<uint64_t>(17, 1), 0, 0), "too many dimensions");
  expect_plain(Builder().u64(2).u64(0).tensor("a", {16}, 0, 0).tensor("b", {2}, 0, 32).done(64),
               "overlaps");
  expect_plain(Builder().u64(2).u64(0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).done(64),
               "two tensors are named");
}

TEST(Gguf, RefusesAlignmentsThatCannotBe) {
  for (const uint32_t alignment : {0u, 3u, 48u}) {
    expect_plain(Builder().u64(0).u64(1).string("general.alignment").u32(4).u32(alignment).done(),
                 "not a power of two");
  }
  expect_plain(Builder().u64(0).u64(1).string("general.alignment").u32(8).string("32").done(),
               "not a u32");
}

TEST(Gguf, RefusesUnknownVersions) {
  expect_plain(Builder(4).u64(0).u64(0).done(), "version");
  expect_plain(Builder(0).u64(0).u64(0).done(), "version");
}

TEST(Gguf, ReplacesBytesThatAreNotUtf8) {
  const Layout layout = layout_of(Builder().u64(1).u64(0).tensor("t\xff", {8}, 0, 0).done(32));
  EXPECT_EQ(layout.tensors.at(0).name, "t\uFFFD");
}

}  // namespace
}  // namespace pith::io
