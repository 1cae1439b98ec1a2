#include "pith/io/names.h"

#include <gtest/gtest.h>

#include "relative_path.h"

namespace pith::io {
namespace {

TEST(Names, EachTypeComesBackFromItsName) {
  for (const DTypeInfo& type : all_dtypes()) {
    const std::string_view safetensors = safetensors_name(type.dtype);
    if (!safetensors.empty()) {
      EXPECT_EQ(safetensors_dtype(safetensors), type.dtype);
    }
    EXPECT_EQ(safetensors.empty(), safetensors_rank(type.dtype) < 0);
    const std::string_view numpy = numpy_descr(type.dtype);
    if (!numpy.empty() && numpy != "|V1") {
      const auto read = numpy_dtype(numpy);
      ASSERT_TRUE(read.has_value()) << type.name;
      EXPECT_EQ(read->dtype, type.dtype);
      EXPECT_FALSE(read->big_endian);
    }
    const auto gguf = gguf_type(type.dtype);
    if (gguf) {
      EXPECT_EQ(gguf_dtype(*gguf), type.dtype);
    }
  }
}

TEST(Names, WideTypesRankBeforeNarrowOnes) {
  EXPECT_GT(safetensors_rank(DType::kU64), safetensors_rank(DType::kF32));
  EXPECT_GT(safetensors_rank(DType::kBF16), safetensors_rank(DType::kF16));
  EXPECT_GT(safetensors_rank(DType::kU8), safetensors_rank(DType::kBool));
}

TEST(Names, UnknownNamesHaveNoType) {
  for (const char* name : {"", "f32", "F128", "BF17"}) {
    EXPECT_FALSE(safetensors_dtype(name)) << name;
    EXPECT_FALSE(numpy_dtype(name)) << name;
    EXPECT_FALSE(torch_storage_dtype(name)) << name;
    EXPECT_FALSE(tfjs_dtype(name)) << name;
  }
  EXPECT_FALSE(numpy_dtype("!f4"));
  EXPECT_FALSE(numpy_dtype("<V1"));
  for (const int64_t type : {int64_t{-1}, int64_t{0}, int64_t{8}, int64_t{99}, INT64_MAX}) {
    EXPECT_FALSE(onnx_dtype(type)) << type;
  }
  for (const uint32_t type : {4u, 5u, 191u, 192u, 0xFFFFFFFFu}) EXPECT_FALSE(gguf_dtype(type));
}

TEST(Names, OfOtherFormats) {
  EXPECT_EQ(onnx_dtype(16), DType::kBF16);
  EXPECT_EQ(torch_storage_dtype("BFloat16"), DType::kBF16);
  EXPECT_EQ(torch_storage_dtype("QUInt8"), DType::kU8);
  EXPECT_EQ(torch_dtype("float8_e5m2"), DType::kF8E5M2);
  EXPECT_EQ(tfjs_dtype("uint16"), DType::kU16);
  EXPECT_EQ(gguf_dtype(30), DType::kBF16);
  EXPECT_EQ(gguf_dtype(12), DType::kQ4_K);
  EXPECT_TRUE(numpy_dtype(">f8")->big_endian);
}

TEST(RelativePath, StaysBelowItsFolder) {
  EXPECT_EQ(relative_path("a/./b//c"), std::filesystem::path("a/b/c"));
  EXPECT_EQ(relative_path("..a"), std::filesystem::path("..a"));
  const std::string hidden("a\0b", 3);
  for (const std::string& path :
       {std::string(), std::string("/a"), std::string(".."), std::string("a/.."),
        std::string("a/../b"), std::string("a/"), std::string("."), std::string("C:\\a"), hidden,
        std::string(5000, 'a')}) {
    EXPECT_FALSE(relative_path(path)) << path;
  }
}

}  // namespace
}  // namespace pith::io
