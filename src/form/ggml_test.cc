// Block types against what llama.cpp makes of the same bytes.
#include "ggml.h"

#include <gtest/gtest.h>

#include "pith/base/hash.h"

namespace pith::form {
namespace {

struct Golden {
  DType type;
  std::vector<size_t> halves;  // where the block has f16 scales
  uint64_t hash;               // of the floats that llama.cpp v0.5.0 decodes the blocks below to
};

// 64 blocks of bytes from a linear congruence (Knuth), with finite scales.
Bytes blocks_of(const Golden& g) {
  const uint64_t width = info(g.type).block_bytes;
  Bytes blocks(64 * width);
  uint64_t state = static_cast<uint64_t>(g.type);
  for (uint8_t& b : blocks) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<uint8_t>(state >> 56);
  }
  for (size_t at = 0; at < blocks.size(); at += width) {
    for (const size_t half : g.halves) blocks[at + half + 1] &= 0xBB;  // no infinity, no NaN
    if (g.type == DType::kQ8_K) store_le(blocks.data() + at, 0.01f);
  }
  return blocks;
}

class GgmlBlocks : public testing::TestWithParam<Golden> {};

TEST_P(GgmlBlocks, DecodeAsLlamaCppDoes) {
  const Golden& g = GetParam();
  const uint64_t elements = 64 * pith::info(g.type).block_elements;
  const GgmlForm form({4, elements / 4}, g.type, Buffer(blocks_of(g)));
  const Matrix m = decode(form);
  EXPECT_EQ(hash64({reinterpret_cast<const uint8_t*>(m.values.data()), 4 * elements}), g.hash);
}

TEST_P(GgmlBlocks, AreWrittenAndReadBack) {
  const Golden& g = GetParam();
  const GgmlForm form({8, 8 * pith::info(g.type).block_elements}, g.type, Buffer(blocks_of(g)));
  const Bytes stored = write(form);
  EXPECT_EQ(bits(form), 8 * stored.size());
  const FormPtr again = read(stored, nullptr);
  EXPECT_EQ(decode(*again).values, decode(form).values);
  EXPECT_EQ(to_string(again->expression()), fmt::format("ggml({})", pith::info(g.type).name));
}

INSTANTIATE_TEST_SUITE_P(Types, GgmlBlocks,
                         testing::Values(Golden{DType::kQ4_0, {0}, 0xDC102D0B747241CE},
                                         Golden{DType::kQ4_1, {0, 2}, 0x1CE8ED69A1A95CB1},
                                         Golden{DType::kQ5_0, {0}, 0x37F3919665096441},
                                         Golden{DType::kQ5_1, {0, 2}, 0xC8A64DE3C3659862},
                                         Golden{DType::kQ8_0, {0}, 0xDA4E70EBA8C0E229},
                                         Golden{DType::kQ2_K, {80, 82}, 0x30E6211A5D12ADB8},
                                         Golden{DType::kQ3_K, {108}, 0x1B5A150276A8546B},
                                         Golden{DType::kQ4_K, {0, 2}, 0x53978F0FC70134DC},
                                         Golden{DType::kQ5_K, {0, 2}, 0x2FCADFF4E230495F},
                                         Golden{DType::kQ6_K, {208}, 0x6D25D98E4E3D4F78},
                                         Golden{DType::kQ8_K, {}, 0xF45665724D478525},
                                         Golden{DType::kIQ4_NL, {0}, 0x4B109B431C2AE846},
                                         Golden{DType::kIQ4_XS, {0}, 0x16FBBB996F50AA07},
                                         Golden{DType::kMXFP4, {}, 0x1CFBDFAB51328AC7},
                                         Golden{DType::kTQ1_0, {52}, 0xA40DF6D588088B50},
                                         Golden{DType::kTQ2_0, {64}, 0xB4CDE96DE0C7EB36}),
                         [](const auto& param) {
                           return std::string(pith::info(param.param.type).name);
                         });

TEST(Ggml, RefusesWhatDoesNotFill) {
  EXPECT_THROW(GgmlForm({1, 33}, DType::kQ8_0, Buffer(Bytes(34))), Error);
  EXPECT_THROW(GgmlForm({1, 32}, DType::kQ8_0, Buffer(Bytes(33))), Error);
  EXPECT_THROW(GgmlForm({1, 256}, DType::kIQ1_S, Buffer(Bytes(50))), Error);
}

}  // namespace
}  // namespace pith::form
