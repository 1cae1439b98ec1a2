#include "pith/io/gguf_retype.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/io/gguf_metadata.h"
#include "pith/io/write.h"

namespace pith::io {
namespace {

// Not a constant: GCC would try for minutes to compute it.
GgufMetadata metadata() {
  GgufMetadata m;
  m.emplace_back("general.architecture", std::string("llama"));
  m.emplace_back("tokens", std::vector<std::string>{"a", "bc", ""});
  m.emplace_back("scores", std::vector<float>{1, 2});
  m.emplace_back("flag", true);
  return m;
}

Bytes sample(uint32_t alignment = 32) {
  Bytes file = gguf_header(metadata(),
                           std::vector<TensorInfo>{{"norm", DType::kF32, {3}},
                                                   {"a", DType::kQ8_0, {5, 32}},
                                                   {"b", DType::kQ4_K, {2, 3, 256}}},
                           alignment);
  for (const uint64_t size : {3 * 4, 5 * 34, 6 * 144}) {
    file.resize(file.size() + size, 7);
    file.resize((file.size() + alignment - 1) / alignment * alignment);
  }
  return file;
}

void expect_retyped(uint32_t alignment) {
  const Bytes file = sample(alignment);
  std::vector<TensorRegion> tensors = describe(file, "m.gguf").layout.tensors;
  ASSERT_EQ(tensors.size(), 3U);
  tensors[1].dtype = DType::kF16;
  Bytes made = retype_gguf(file, tensors);
  EXPECT_EQ(made.size(), tensors[0].offset);
  EXPECT_EQ(tensors[1].size, 5U * 32 * 2);
  made.resize(tensors[2].offset + tensors[2].size);
  EXPECT_EQ(read_gguf_metadata(made), read_gguf_metadata(file));
  const Layout layout = describe(made, "m.gguf").layout;
  EXPECT_TRUE(layout.notes.empty());
  EXPECT_EQ(layout.tensors, tensors);
}

TEST(RetypeGguf, TypesAndPlacesChangeAndNothingElse) {
  expect_retyped(32);
  expect_retyped(64);
}

TEST(RetypeGguf, TheSameTypesGiveTheSameFile) {
  const Bytes file = sample();
  const std::vector<TensorRegion> before = describe(file, "m.gguf").layout.tensors;
  std::vector<TensorRegion> tensors = before;
  const Bytes made = retype_gguf(file, tensors);
  EXPECT_EQ(tensors, before);
  EXPECT_TRUE(std::ranges::equal(made, ByteView(file).first(made.size())));
}

ErrorKind kind_of(Bytes file, const std::function<void(std::vector<TensorRegion>&)>& change) {
  std::vector<TensorRegion> tensors = describe(sample(), "m.gguf").layout.tensors;
  change(tensors);
  try {
    retype_gguf(file, tensors);
  } catch (const Error& e) {
    return e.kind();
  }
  return ErrorKind::kLimit;  // none of what is expected
}

TEST(RetypeGguf, WrongTensorsTypesAndFilesAreRefused) {
  const auto nothing = [](std::vector<TensorRegion>&) {};
  EXPECT_EQ(kind_of(sample(), [](auto& t) { t.pop_back(); }), ErrorKind::kData);
  EXPECT_EQ(kind_of(sample(), [](auto& t) { t[0].name = "other"; }), ErrorKind::kData);
  EXPECT_EQ(kind_of(sample(), [](auto& t) { t[0].dtype = DType::kQ8_0; }), ErrorKind::kUsage);
  EXPECT_EQ(kind_of(sample(), [](auto& t) { t[0].dtype = DType::kU8; }), ErrorKind::kUsage);
  const Bytes whole = sample();
  const uint64_t header = describe(whole, "m.gguf").layout.tensors[0].offset;
  for (uint64_t n = 8; n < header; ++n) {
    EXPECT_EQ(kind_of({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)}, nothing),
              ErrorKind::kData)
        << n;
  }
}

}  // namespace
}  // namespace pith::io
