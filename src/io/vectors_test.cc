#include <gtest/gtest.h>

#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

TEST(Vectors, AreOneArrayWithTheDimensionInFront) {
  const Bytes file = sample_fvecs();
  const auto expect = [&](const char* name, DType dtype, uint64_t columns) {
    const Layout layout = describe(file, name).layout;
    ASSERT_EQ(layout.tensors.size(), 1u) << name;
    EXPECT_EQ(layout.tensors[0],
              (TensorRegion{"vectors", dtype, {3, columns}, 0, file.size(), false}));
    EXPECT_EQ(layout.notes.size(), 1u);
  };
  expect("a.fvecs", DType::kF32, 3);
  expect("a.ivecs", DType::kI32, 3);
  EXPECT_EQ(describe(file, "a.fvecs").layout.format, "fvecs");
}

TEST(Vectors, OfBytesHaveFourColumnsMore) {
  Bytes file{3, 0, 0, 0, 7, 8, 9, 3, 0, 0, 0, 1, 2, 3};
  const Layout layout = describe(file, "a.bvecs").layout;
  EXPECT_EQ(layout.tensors.at(0), (TensorRegion{"vectors", DType::kU8, {2, 7}, 0, 14, false}));
}

TEST(Vectors, InconsistentFilesAreBytes) {
  Bytes file = sample_fvecs();
  file[12] = 3;
  EXPECT_EQ(describe(file, "a.fvecs").layout.format, "bytes");
  file = sample_fvecs();
  file.pop_back();
  EXPECT_EQ(describe(file, "a.fvecs").layout.format, "bytes");
  file = sample_fvecs();
  store_le(file.data(), int32_t{-2});
  EXPECT_EQ(describe(file, "a.fvecs").layout.format, "bytes");
  store_le(file.data(), int32_t{0});
  EXPECT_EQ(describe(file, "a.fvecs").layout.notes.size(), 1u);
}

TEST(Vectors, NeedTheirExtension) {
  EXPECT_EQ(describe(sample_fvecs(), "a.bin").layout.format, "bytes");
  EXPECT_EQ(describe({}, "a.fvecs").layout.format, "bytes");
}

}  // namespace
}  // namespace pith::io
