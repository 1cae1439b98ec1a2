#include <gtest/gtest.h>

#include <random>

#include "block.h"
#include "steps_find.h"
#include "steps_index.h"

namespace pith::lossless {
namespace {

using steps::Domain;

template <class F>
struct Checkpoints {
  Bytes base, raw;
};

// A base of Gaussian values and what `move(base value, random)` makes of it.
template <class F, class Move>
Checkpoints<F> make(size_t n, uint32_t seed, Move&& move) {
  using Bits = typename F::Bits;
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 0.02);
  Checkpoints<F> c{Bytes(n * sizeof(Bits)), Bytes(n * sizeof(Bits))};
  for (size_t i = 0; i < n; ++i) {
    const Bits b = F::round(normal(random));
    store_le(c.base.data() + i * sizeof(Bits), b);
    store_le(c.raw.data() + i * sizeof(Bits), F::round(move(F::value(b), random)));
  }
  return c;
}

constexpr std::array<double, 7> kMoves = {-3.1e-3, -1.7e-3, -8e-4, 0, 9e-4, 1.6e-3, 2.9e-3};

double few_steps(double b, std::mt19937& random) { return b + kMoves[random() % kMoves.size()]; }

template <class F>
struct TypeOf;
template <>
struct TypeOf<steps::F16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct TypeOf<steps::BF16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct TypeOf<steps::F32> {
  static constexpr DType value = DType::kF32;
};
template <>
struct TypeOf<steps::F64> {
  static constexpr DType value = DType::kF64;
};

template <class F>
class EveryFloat : public testing::Test {};
using Formats = testing::Types<steps::F16, steps::BF16, steps::F32, steps::F64>;
TYPED_TEST_SUITE(EveryFloat, Formats);

TYPED_TEST(EveryFloat, FewStepsAreFoundAndComeBack) {
  const auto c = make<TypeParam>(20000, 1, few_steps);
  for (const Level level : {Level::kFast, Level::kDefault, Level::kMax}) {
    Bytes block;
    ASSERT_TRUE(encode_steps(c.raw, c.base, {TypeOf<TypeParam>::value, 100, false}, level, block));
    Bytes back(c.raw.size());
    ByteReader in(block);
    decode_steps(in, c.base, back);
    EXPECT_EQ(back, c.raw);
    EXPECT_TRUE(in.empty());
    EXPECT_LT(block.size(), 20000u) << "less than one byte an index";
  }
}

TYPED_TEST(EveryFloat, NumbersRoundToTheNearest) {
  using Bits = typename TypeParam::Bits;
  std::mt19937_64 random(1);
  for (int k = 0; k < 200000; ++k) {
    const auto bits = static_cast<Bits>(random());
    const double v = TypeParam::value(bits);
    if (std::isnan(v)) continue;
    ASSERT_EQ(TypeParam::round(v), bits);
    const double above = TypeParam::value(static_cast<Bits>(bits + 1));
    if (sizeof(Bits) == 8 || !std::isfinite(above) || !std::isfinite(v)) continue;
    const double middle = v + (above - v) / 2;
    ASSERT_EQ(TypeParam::round(middle), bits % 2 == 0 ? bits : static_cast<Bits>(bits + 1));
    ASSERT_EQ(TypeParam::round(std::nextafter(middle, v)), bits);
    ASSERT_EQ(TypeParam::round(std::nextafter(middle, above)), static_cast<Bits>(bits + 1));
  }
}

TEST(Steps, TrainingNoiseIsRefused) {
  std::normal_distribution<double> step(0, 1e-3);
  const auto noise = [&](double b, std::mt19937& random) { return b + step(random); };
  Bytes block;
  const auto single = make<steps::F32>(20000, 2, noise);
  EXPECT_FALSE(encode_steps(single.raw, single.base, {DType::kF32, 0, false}, Level::kMax, block));
  const auto half = make<steps::BF16>(20000, 2, noise);
  EXPECT_FALSE(encode_steps(half.raw, half.base, {DType::kBF16, 0, false}, Level::kMax, block));
  EXPECT_TRUE(block.empty());
}

TEST(Steps, FactorsOfPositiveValuesAreFound) {
  const auto c = make<steps::F32>(20000, 3, [](double b, std::mt19937& random) {
    return std::fabs(b) * std::array{0.5, 0.875, 1.0, 1.5, 2.75}[random() % 5];
  });
  Bytes positive = c.base;
  for (size_t i = 3; i < positive.size(); i += 4) positive[i] &= 0x7F;
  const steps::Found found = steps::find<steps::F32>(c.raw, positive, Domain::kProduct);
  EXPECT_EQ(found.steps.size(), 5u);
  EXPECT_EQ(found.escapes, 0u);
}

TEST(Steps, WhatNoStepExplainsIsStoredAsItIs) {
  auto c = make<steps::F32>(20000, 4, few_steps);
  const std::array<float, 6> odd = {NAN, -NAN, INFINITY, -INFINITY, 1e30f, -0.0f};
  for (size_t i = 0; i < odd.size(); ++i) store_le(c.raw.data() + 4 * (100 * i + 7), odd[i]);
  for (size_t i = 0; i < odd.size(); ++i) store_le(c.base.data() + 4 * (100 * i + 33), odd[i]);
  for (const Level level : {Level::kDefault, Level::kMax}) {
    Bytes block, back(c.raw.size());
    ASSERT_TRUE(encode_steps(c.raw, c.base, {DType::kF32, 128, false}, level, block));
    ByteReader in(block);
    decode_steps(in, c.base, back);
    EXPECT_EQ(back, c.raw);
  }
}

TEST(Steps, AreChosenByTheCodec) {
  const auto c = make<steps::F32>(1 << 16, 5, few_steps);
  Bytes block, back(c.raw.size());
  encode(c.raw, {DType::kF32, 256, false}, Level::kDefault, c.base, block);
  EXPECT_TRUE(explain(block).starts_with("steps")) << explain(block);
  EXPECT_TRUE(needs_base(block));
  decode(block, c.base, back);
  EXPECT_EQ(back, c.raw);
}

// Where the base tells how far an element moved, mixing its contexts beats the indices' entropy.
TEST(Steps, TheBasePredictsTheIndex) {
  const auto c = make<steps::F32>(1 << 16, 6, [](double b, std::mt19937& random) {
    return std::fabs(b) > 0.015 ? few_steps(b, random) : b + kMoves[2 + random() % 3];
  });
  Bytes mixed, plain;
  ASSERT_TRUE(encode_steps(c.raw, c.base, {DType::kF32, 256, false}, Level::kMax, mixed));
  const steps::Found found = steps::find<steps::F32>(c.raw, c.base, Domain::kSum);
  steps::encode_indices(found.indices, {{}, 256, static_cast<uint32_t>(found.steps.size()), 3},
                        plain);
  EXPECT_LT(static_cast<double>(mixed.size()), 0.93 * static_cast<double>(plain.size()));
}

TEST(Steps, SurvivesDamage) {
  const auto c = make<steps::BF16>(700, 7, few_steps);
  std::mt19937 random(1);
  for (const Level level : {Level::kDefault, Level::kMax}) {
    Bytes block, back(c.raw.size());
    ASSERT_TRUE(encode_steps(c.raw, c.base, {DType::kBF16, 35, false}, level, block));
    const auto attempt = [&](const Bytes& damaged) {
      try {
        ByteReader in(damaged);
        decode_steps(in, c.base, back);
      } catch (const Error&) {
      }
    };
    for (size_t cut = 0; cut < block.size(); ++cut)
      attempt({block.begin(), block.begin() + static_cast<long>(cut)});
    for (size_t bit = 0; bit < 8 * block.size(); ++bit) {
      Bytes flipped = block;
      flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ 1 << bit % 8);
      attempt(flipped);
    }
  }
}

}  // namespace
}  // namespace pith::lossless
