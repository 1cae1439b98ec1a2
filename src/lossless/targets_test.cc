// Every kind of block on every instruction set: the same bytes, and the data back.
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "../base/testing_targets.h"
#include "pith/lossless/codec.h"

namespace pith::lossless {
namespace {

// Elements of several characters, so that every layout is chosen somewhere.
Bytes data_of(int character, size_t size) {
  std::mt19937 random(static_cast<uint32_t>(character));
  std::normal_distribution<float> normal(0, 0.05f);
  Bytes out(size / 4 * 4);
  for (size_t i = 0; i < out.size(); i += 4) {
    uint32_t v = 0;
    switch (character) {
      case 0:
        v = std::bit_cast<uint32_t>(normal(random));
        break;  // floats
      case 1:
        v = std::bit_cast<uint32_t>(normal(random)) & 0xFFFF0000;
        break;  // narrow floats
      case 2:
        v = random() % 20 == 0 ? std::bit_cast<uint32_t>(normal(random)) : 0;
        break;
      case 3:
        v = static_cast<uint32_t>(random() % 7) * 0x01020304;
        break;  // few values
      case 4:
        v = static_cast<uint32_t>(i);
        break;  // a ramp
      default:
        v = static_cast<uint32_t>(random());
    }
    store_le(out.data() + i, v);
  }
  return out;
}

TEST(Targets, BlocksAreTheSameOnEveryInstructionSet) {
  for (const DType dtype :
       {DType::kBF16, DType::kF16, DType::kF32, DType::kF64, DType::kI8, DType::kF8E4M3,
        DType::kI32, DType::kQ4_0, DType::kQ8_0, DType::kQ6_K, DType::kBytes}) {
    for (int character = 0; character < 6; ++character) {
      const Bytes raw = data_of(character, 34 * 18 * 210);
      for (const Level level : {Level::kFast, Level::kDefault}) {
        Bytes expected;
        encode(raw, {dtype, 64, false}, level, {}, expected);
        for_each_target([&] {
          Bytes block, back(raw.size());
          encode(raw, {dtype, 64, false}, level, {}, block);
          decode(expected, {}, back);
          EXPECT_TRUE(block == expected) << info(dtype).name << " " << character;
          EXPECT_TRUE(back == raw) << info(dtype).name << " " << character;
        });
      }
    }
  }
}

}  // namespace
}  // namespace pith::lossless
