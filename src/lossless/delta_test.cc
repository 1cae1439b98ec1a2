// Differences on every instruction set: the same bytes, and the elements back.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "../base/testing_targets.h"
#include "block.h"

namespace pith::lossless {
namespace {

struct Pair {
  Bytes base, raw;
};

template <class U>
void put(U v, Bytes& to) {
  to.resize(to.size() + sizeof v);
  store_le(to.data() + to.size() - sizeof v, v);
}

// A double as an element of the type, its mantissa cut off; integers count thousandths.
uint64_t narrowed(double v, const DTypeInfo& t) {
  if (t.kind != NumberKind::kFloat) return static_cast<uint64_t>(static_cast<int64_t>(1000 * v));
  const auto u = std::bit_cast<uint64_t>(v);
  const int64_t bias = (int64_t{1} << (t.exponent_bits - 1)) - 1;
  const int64_t exponent = static_cast<int64_t>(u >> 52 & 0x7FF) - 1023 + bias;
  const uint64_t sign = (u >> 63) << (8 * t.block_bytes - 1);
  if (exponent <= 0) return sign;
  const uint64_t mantissa = (u & ((uint64_t{1} << 52) - 1)) >> (52 - t.mantissa_bits);
  return sign | static_cast<uint64_t>(exponent) << t.mantissa_bits | mantissa;
}

// Weights and the same after steps, which the smallest do not survive.
Pair trained(DType dtype, size_t n, double step, uint32_t seed) {
  const DTypeInfo& t = info(dtype);
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Pair p;
  for (size_t i = 0; i < n; ++i) {
    const double w = 0.05 * normal(random), moved = w + step * normal(random);
    uint64_t a = narrowed(w, t), b = narrowed(moved, t);
    if (random() % 500 == 0) b = random();  // infinities and NaN among others
    if (random() % 700 == 0) a = 0;
    for (uint64_t byte = 0; byte < t.block_bytes; ++byte) {
      put(static_cast<uint8_t>(a >> 8 * byte), p.base);
      put(static_cast<uint8_t>(b >> 8 * byte), p.raw);
    }
  }
  return p;
}

Bytes coded(const Pair& p, DType dtype) {
  Bytes out;
  encode_delta(p.raw, p.base, {dtype, 0, false}, Level::kDefault, out);
  return out;
}

Bytes decoded(const Bytes& block, const Bytes& base) {
  ByteReader in(block, "delta");
  Bytes raw(base.size());
  decode_delta(in, base, raw);
  in.expect_end();
  return raw;
}

class Delta : public testing::TestWithParam<DType> {};

TEST_P(Delta, IsTheSameOnEveryInstructionSet) {
  for (const size_t n : {1, 7, 63, 64, 65, 1000, 5000, 40000}) {
    for (const double step : {0.0, 1e-4, 0.01, 10.0}) {
      const Pair p = trained(GetParam(), n, step, static_cast<uint32_t>(n));
      const Bytes expected = coded(p, GetParam());
      for_each_target([&] {
        ASSERT_EQ(coded(p, GetParam()), expected) << n << " elements, step " << step;
        ASSERT_EQ(decoded(expected, p.base), p.raw) << n << " elements, step " << step;
      });
    }
  }
}

TEST_P(Delta, DamageIsAnErrorOrOtherElementsOnEveryInstructionSet) {
  const Pair p = trained(GetParam(), 300, 0.01, 5);
  const Bytes block = coded(p, GetParam());
  for_each_target([&] {
    for (size_t bit = 0; bit < 8 * block.size(); ++bit) {
      Bytes damaged = block;
      damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ 1 << bit % 8);
      try {
        decoded(damaged, p.base);
      } catch (const Error& e) {
        ASSERT_EQ(e.kind(), ErrorKind::kData);
      }
    }
    if (pith::info(GetParam()).kind == NumberKind::kFloat) {
      // The base of another state has other contexts.
      EXPECT_THROW(decoded(block, trained(GetParam(), 300, 0.01, 6).base), Error);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Types, Delta,
                         testing::Values(DType::kI8, DType::kF8E4M3, DType::kF8E5M2, DType::kI16,
                                         DType::kF16, DType::kBF16, DType::kI32, DType::kF32,
                                         DType::kF64),
                         [](const auto& param) {
                           return std::string(pith::info(param.param).name);
                         });

// Steps of a fifth of the weights: most that is new is the noise of the step.
TEST(Delta, ElementsSmallerThanTheirStepCostLittleMoreThanTheirNoise) {
  const Pair p = trained(DType::kBF16, 1 << 18, 0.01, 3);
  // The entropy of a step rounded to the grid of bf16, from its density at the element's size.
  double bits = 0, n = 0;
  std::mt19937 random(9);
  std::normal_distribution<double> normal;
  for (int i = 0; i < 100000; ++i) {
    const double w = 0.05 * normal(random), moved = w + 0.01 * normal(random);
    const double unit = std::exp2(std::floor(std::log2(std::fabs(moved))) - 7);
    const double z = (moved - w) / 0.01;
    bits += std::log2(0.01 * std::sqrt(2 * 3.14159265) / unit) + z * z / 2 / std::log(2.0);
    ++n;
  }
  const double ours = 8.0 * static_cast<double>(coded(p, DType::kBF16).size()) / (1 << 18);
  EXPECT_LT(ours, 1.03 * bits / n);
}

}  // namespace
}  // namespace pith::lossless
