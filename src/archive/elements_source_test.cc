// GGUF files whose blocks are seen as elements.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pith/archive/source.h"
#include "pith/base/float_elements.h"
#include "pith/form/tensor.h"
#include "pith/io/write.h"

namespace pith::archive {
namespace {

// A norm, blocks of two types, and a matrix of f32.
Bytes sample() {
  const io::GgufMetadata metadata = {{"general.architecture", std::string("llama")}};
  const io::TensorInfo tensors[] = {{"norm", DType::kF32, {7}},
                                    {"a", DType::kQ8_0, {5, 64}},
                                    {"b", DType::kQ4_K, {3, 256}},
                                    {"c", DType::kF32, {2, 3}},
                                    {"d", DType::kIQ2_XXS, {1, 256}}};
  Bytes file = io::gguf_header(metadata, tensors);
  uint8_t next = 1;
  for (const io::TensorInfo& t : tensors) {
    for (uint64_t n = *tensor_bytes(t.dtype, t.shape); n > 0; --n) file.push_back(next++ % 50);
    file.resize((file.size() + 31) / 32 * 32);
  }
  return file;
}

bool all(const io::TensorRegion&) { return true; }

TEST(ElementsSource, BlocksReadAsTheElementsThatTheyStandForAndTheRestAsItIs) {
  const Bytes file = sample();
  const auto source = with_elements(memory_source(file, "m.gguf"), all);
  const Buffer shown = source->get(0, UINT64_MAX);
  ASSERT_EQ(shown.bytes.size(), source->size());
  const io::Layout was = io::describe(file, "m.gguf").layout, is = source->layout();
  EXPECT_EQ(io::describe(shown.bytes, "m.gguf").layout.tensors, is.tensors);
  ASSERT_EQ(is.tensors.size(), was.tensors.size());
  for (size_t i = 0; i < is.tensors.size(); ++i) {
    const io::TensorRegion &before = was.tensors[i], &now = is.tensors[i];
    const ByteView raw = ByteView(file).subspan(before.offset, before.size);
    const ByteView got = shown.bytes.subspan(now.offset, now.size);
    EXPECT_EQ(now.shape, before.shape);
    if (before.name != "a" && before.name != "b") {
      EXPECT_EQ(now.dtype, before.dtype) << before.name;
      EXPECT_TRUE(std::ranges::equal(got, raw)) << before.name;
      continue;
    }
    EXPECT_EQ(now.dtype, DType::kF16);
    const form::Shape shape{before.shape[0], before.shape[1]};
    const form::Matrix floats =
        form::decode(*form::from_tensor(before.dtype, shape, {raw, nullptr}));
    Bytes elements(now.size);
    elements_from(floats.values, DType::kF16, false, elements);
    EXPECT_TRUE(std::ranges::equal(got, elements)) << before.name;
  }
}

RC_GTEST_PROP(ElementsSource, EveryRangeIsThatOfTheWhole, ()) {
  const Bytes file = sample();
  const auto source = with_elements(memory_source(file, "m.gguf"), all);
  const Buffer whole = source->get(0, UINT64_MAX);
  const uint64_t size = whole.bytes.size();
  const uint64_t from = *rc::gen::inRange<uint64_t>(0, size + 2);
  const uint64_t n = *rc::gen::inRange<uint64_t>(0, size + 2);
  const Buffer got = source->get(from, n);
  const ByteView expected =
      from >= size ? ByteView() : whole.bytes.subspan(from, std::min(n, size - from));
  RC_ASSERT(std::ranges::equal(got.bytes, expected));
}

TEST(ElementsSource, NothingChangesWhereNothingIsWanted) {
  const Bytes file = sample(), text(100, 'x');
  const auto same = [](ByteView bytes, const auto& wanted) {
    const auto source = memory_source(bytes, "m");
    return with_elements(source, wanted) == source;
  };
  EXPECT_TRUE(same(file, [](const io::TensorRegion&) { return false; }));
  EXPECT_TRUE(same(file, [](const io::TensorRegion& t) { return t.name == "c" || t.name == "d"; }));
  EXPECT_TRUE(same(text, all));
}

}  // namespace
}  // namespace pith::archive
