#include "pith/base/dtype.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace pith {
namespace {

TEST(DType, TableIsSortedAndNamesAreUnique) {
  const auto types = all_dtypes();
  ASSERT_FALSE(types.empty());
  for (size_t i = 1; i < types.size(); ++i) EXPECT_LT(types[i - 1].dtype, types[i].dtype);
  std::vector<std::string_view> names;
  for (const DTypeInfo& t : types) {
    names.push_back(t.name);
    EXPECT_FALSE(t.name.empty());
    EXPECT_TRUE(std::ranges::all_of(
        t.name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }))
        << t.name << " is also a word on the command line";
  }
  std::ranges::sort(names);
  EXPECT_TRUE(std::ranges::adjacent_find(names) == names.end());
}

TEST(DType, SizesFitWhatTheTypesAre) {
  for (const DTypeInfo& t : all_dtypes()) {
    ASSERT_GE(t.block_elements, 1u) << t.name;
    ASSERT_GE(t.block_bytes, 1u) << t.name;
    const uint32_t bits = t.block_bytes * 8;
    const uint32_t part = 1u + t.exponent_bits + t.mantissa_bits;
    switch (t.kind) {
      case NumberKind::kFloat:
        EXPECT_EQ(t.block_elements, 1u) << t.name;
        EXPECT_EQ(part, bits) << t.name;
        break;
      case NumberKind::kComplex:
        EXPECT_EQ(t.block_elements, 1u) << t.name;
        EXPECT_EQ(2 * part, bits) << t.name;
        break;
      case NumberKind::kBlock:
        EXPECT_EQ(part, 1u) << t.name;
        // Quantized: one to nine bits for an element, scales included.
        EXPECT_GT(bits, t.block_elements) << t.name;
        EXPECT_LE(bits, t.block_elements * 9 + t.block_elements / 8) << t.name;
        break;
      default:
        EXPECT_EQ(part, 1u) << t.name;
        EXPECT_EQ(bits % t.block_elements, 0u) << t.name;
    }
  }
}

TEST(DType, EveryNumberAndNameLeadsToItsTypeOrToNone) {
  size_t found = 0;
  for (unsigned number = 0; number < 256; ++number) {
    const DTypeInfo* t = find_dtype(static_cast<uint8_t>(number));
    if (!t) continue;
    ++found;
    EXPECT_EQ(static_cast<unsigned>(t->dtype), number);
    EXPECT_EQ(&info(t->dtype), t);
    EXPECT_EQ(find_dtype(t->name), t);
  }
  EXPECT_EQ(found, all_dtypes().size());
  EXPECT_EQ(find_dtype(std::string_view()), nullptr);
  EXPECT_EQ(find_dtype("BF16"), nullptr);
  EXPECT_EQ(find_dtype("bf1"), nullptr);
}

// Archives hold these numbers; the block sizes are GGML's.
TEST(DType, NumbersAndSizesOfWhatIsStored) {
  struct Known {
    uint8_t number;
    std::string_view name;
    uint32_t elements, bytes;
  };
  for (const Known& k : std::vector<Known>{{0, "bytes", 1, 1},
                                           {1, "bool", 1, 1},
                                           {9, "i64", 1, 8},
                                           {10, "f16", 1, 2},
                                           {11, "bf16", 1, 2},
                                           {12, "f32", 1, 4},
                                           {13, "f64", 1, 8},
                                           {14, "f8_e4m3", 1, 1},
                                           {20, "c128", 1, 16},
                                           {23, "f4", 2, 1},
                                           {25, "f6_e3m2", 4, 3},
                                           {64 + 2, "q4_0", 32, 2 + 16},
                                           {64 + 8, "q8_0", 32, 2 + 32},
                                           {64 + 12, "q4_K", 256, 2 * 2 + 12 + 128},
                                           {64 + 14, "q6_K", 256, 2 + 16 + 192},
                                           {64 + 20, "iq4_nl", 32, 2 + 16},
                                           {64 + 39, "mxfp4", 32, 1 + 16}}) {
    const DTypeInfo* t = find_dtype(k.number);
    ASSERT_NE(t, nullptr) << k.name;
    EXPECT_EQ(t->name, k.name);
    EXPECT_EQ(t->block_elements, k.elements) << k.name;
    EXPECT_EQ(t->block_bytes, k.bytes) << k.name;
  }
}

using Shape = std::vector<uint64_t>;

TEST(TensorBytes, OfShapes) {
  EXPECT_EQ(tensor_bytes(DType::kF32, Shape{}), 4u);
  EXPECT_EQ(tensor_bytes(DType::kF32, Shape{2, 3, 5}), 120u);
  EXPECT_EQ(tensor_bytes(DType::kF4, Shape{3, 2}), 3u);
  EXPECT_EQ(tensor_bytes(DType::kQ4_0, Shape{2, 64}), 72u);
  EXPECT_EQ(tensor_bytes(DType::kQ4_K, Shape{0}), 0u);
}

TEST(TensorBytes, NoneForHalfABlock) {
  EXPECT_EQ(tensor_bytes(DType::kF4, Shape{}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::kF4, Shape{3}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::kQ4_0, Shape{33}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::kF6E2M3, Shape{2, 3}), std::nullopt);
}

TEST(TensorBytes, NoneBeyond64Bits) {
  constexpr uint64_t k32 = uint64_t{1} << 32, kMax = UINT64_MAX;
  EXPECT_EQ(tensor_bytes(DType::kU8, Shape{kMax}), kMax);
  EXPECT_EQ(tensor_bytes(DType::kU8, Shape{k32, k32}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::kU8, Shape{k32, k32, 2}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::kF16, Shape{kMax}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::kF16, Shape{kMax / 2}), kMax - 1);
  EXPECT_EQ(tensor_bytes(DType::kQ8_0, Shape{kMax - 31}), std::nullopt);
  // Nothing is nothing, wherever the zero stands.
  EXPECT_EQ(tensor_bytes(DType::kU8, Shape{k32, k32, 0}), 0u);
  EXPECT_EQ(tensor_bytes(DType::kU8, Shape{0, k32, k32}), 0u);
}

RC_GTEST_PROP(TensorBytes, IsElementsTimesBytes, (uint16_t a, uint16_t b, uint8_t which)) {
  const DTypeInfo& t = all_dtypes()[which % all_dtypes().size()];
  const uint64_t n = uint64_t{a} * b;
  const auto bytes = tensor_bytes(t.dtype, Shape{a, b});
  RC_ASSERT(bytes.has_value() == (n % t.block_elements == 0));
  if (bytes) RC_ASSERT(*bytes * t.block_elements == n * t.block_bytes);
}

}  // namespace
}  // namespace pith
