#include "pith/lossless/context_mix.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "pith/base/hash.h"

namespace pith::lossless {
namespace {

constexpr ElementLayout kBf16{2, true, 8, 7, 0}, kFp16{2, true, 5, 10, 0}, kFp32{4, true, 8, 23, 0},
    kFp64{8, true, 11, 52, 0}, kE4m3{1, true, 4, 3, 0}, kE5m2{1, true, 5, 2, 0};
constexpr ElementLayout kAll[] = {kBf16,
                                  kFp16,
                                  kFp32,
                                  kFp64,
                                  kE4m3,
                                  kE5m2,
                                  {1, false, 0, 0, 0},
                                  {2, false, 0, 0, 0},
                                  {4, false, 0, 0, 0},
                                  {8, false, 0, 0, 0}};

ElementLayout with_row(ElementLayout layout, uint64_t row) {
  layout.row = row;
  return layout;
}

// Integers that look normal with deviation 2^16 or so: sums of uniform draws, no floating point.
class Bell {
 public:
  explicit Bell(uint64_t seed) : random_(seed) {}
  int64_t operator()() {
    int64_t sum = 0;
    for (int i = 0; i < 12; ++i) sum += int64_t(random_() >> 48) - 32768;
    return sum;
  }

 private:
  std::mt19937_64 random_;
};

uint16_t bf16(double v) {
  const uint32_t bits = std::bit_cast<uint32_t>(float(v));
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A bf16 matrix whose columns have scales from 1 to 8, by integers scaled with powers of two.
Bytes scaled_matrix(size_t rows, size_t row, uint64_t seed) {
  Bell bell(seed);
  Bytes out;
  ByteWriter writer(out);
  for (size_t i = 0; i < rows * row; ++i) {
    writer.u16(bf16(std::ldexp(double(bell() << (i % row * 7 % 4)), -22)));
  }
  return out;
}

void expect_round_trip(const Bytes& raw, const ElementLayout& layout, const Bytes& base = {}) {
  const Bytes code = context_mix_encode(raw, layout, base);
  EXPECT_LE(code.size(), raw.size() + 16);
  Bytes back(raw.size(), 0x5A);
  context_mix_decode(code, back, layout, base);
  ASSERT_EQ(back, raw) << int(layout.width) << " bytes, row " << layout.row;
}

double order0_bits(const Bytes& raw) {  // of a whole 16-bit value, as two bytes
  double bits = 0;
  for (size_t plane : {0u, 1u}) {
    std::vector<double> counts(256, 0);
    for (size_t i = plane; i < raw.size(); i += 2) ++counts[raw[i]];
    const double n = double(raw.size()) / 2;
    for (double c : counts) bits -= c > 0 ? c / n * std::log2(c / n) : 0;
  }
  return bits;
}

double bits_per_element(const Bytes& raw, const ElementLayout& layout, const Bytes& base = {}) {
  return double(context_mix_encode(raw, layout, base).size()) * 8 * layout.width /
         double(raw.size());
}

RC_GTEST_PROP(ContextMix, GivesBackAnyBytes, (Bytes raw, uint8_t which, uint8_t row)) {
  const ElementLayout layout = with_row(kAll[which % std::size(kAll)], row);
  const Bytes code = context_mix_encode(raw, layout);
  Bytes back(raw.size());
  context_mix_decode(code, back, layout);
  RC_ASSERT(back == raw);
}

TEST(ContextMix, RoundTripsEveryLayoutSizeAndRow) {
  std::mt19937_64 random(1);
  for (const ElementLayout& layout : kAll) {
    for (size_t size : {0u, 1u, 3u, 7u, 8u, 9u, 255u, 4001u, 20000u}) {
      Bytes raw(size), base(size);
      for (size_t i = 0; i < size; ++i) {
        raw[i] = uint8_t(random() & random());
        base[i] = random() % 3 == 0 ? uint8_t(random()) : raw[i];
      }
      for (uint64_t row : {uint64_t{0}, uint64_t{1}, uint64_t{17}, UINT64_MAX}) {
        expect_round_trip(raw, with_row(layout, row));
        expect_round_trip(raw, with_row(layout, row), base);
      }
    }
  }
}

TEST(ContextMix, RoundTripsSpecialFloats) {
  const float odd[] = {0.0f,
                       -0.0f,
                       INFINITY,
                       -INFINITY,
                       NAN,
                       -NAN,
                       1e-45f,
                       -1e-40f,
                       3e38f,
                       1.0f,
                       std::bit_cast<float>(0x7f800001u),
                       1e-30f};
  Bytes raw, base;
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    const auto pick = [&] {
      return random() % 4 == 0 ? odd[random() % std::size(odd)] : float(random() % 1000) * 1e-3f;
    };
    ByteWriter(raw).u32(std::bit_cast<uint32_t>(pick()));
    ByteWriter(base).u32(std::bit_cast<uint32_t>(pick()));
  }
  for (const ElementLayout& layout : kAll) {
    expect_round_trip(raw, with_row(layout, 50));
    expect_round_trip(raw, with_row(layout, 50), base);
  }
}

TEST(ContextMix, HoldsValuesFromOneEndOfTheRangeToTheOther) {
  std::mt19937_64 random(12);
  Bytes raw, base;
  for (int i = 0; i < 6000; ++i) {  // quiet rows, then rows and columns of huge values
    const bool loud = i / 100 % 20 == 19 || i % 100 == 5;
    const double size = std::ldexp(1.0 + double(random() % 97), loud ? 900 : -900);
    ByteWriter(raw).u64(std::bit_cast<uint64_t>(size));
    ByteWriter(base).u64(random());
  }
  for (const ElementLayout& layout : kAll) {
    expect_round_trip(raw, with_row(layout, 100));
    expect_round_trip(raw, with_row(layout, 100), base);
    expect_round_trip(base, with_row(layout, 100), raw);
  }
}

TEST(ContextMix, ConstantAndFewDistinctValuesTakeAlmostNothing) {
  const Bytes zeros(1 << 16, 0);
  Bytes ramp;
  for (uint32_t i = 0; i < 1 << 14; ++i) ByteWriter(ramp).u32(0x3f800000u + (i % 7 << 13));
  for (const ElementLayout& layout : kAll) {
    EXPECT_LT(context_mix_encode(zeros, layout).size(), 40u);
    expect_round_trip(ramp, layout);
  }
  EXPECT_LT(context_mix_encode(ramp, kFp32).size(), 1000u);
}

TEST(ContextMix, WideContainersOfNarrowValuesCostTheNarrowOnes) {
  const Bytes narrow = scaled_matrix(256, 128, 4);
  Bytes wide;
  for (size_t i = 0; i < narrow.size(); i += 2) {
    ByteWriter(wide).u32(uint32_t{load_le<uint16_t>(&narrow[i])} << 16);
  }
  EXPECT_NEAR(bits_per_element(wide, with_row(kFp32, 128)),
              bits_per_element(narrow, with_row(kBf16, 128)), 0.02);
}

TEST(ContextMix, BeatsOrder0OnAMatrixWithColumnScales) {
  const Bytes raw = scaled_matrix(512, 256, 5);
  const double bits = bits_per_element(raw, with_row(kBf16, 256));
  EXPECT_LT(bits, order0_bits(raw) - 0.45);
  // The source's entropy: log2(sigma sqrt(2 pi e)) - E log2(ulp) = 10.46 bits, whatever the scale.
  EXPECT_LT(bits, 10.50);
  EXPECT_LT(bits, bits_per_element(raw, kBf16) - 0.1);
}

TEST(ContextMix, ABaseSavesWhatItTells) {
  const Bytes base = scaled_matrix(256, 256, 6);
  for (const auto& [noise, most] : {std::pair{1.0 / 8, 8.1}, {1.0 / 64, 5.4}, {1.0 / 4096, 1.1}}) {
    Bell bell(7);
    Bytes raw;
    for (size_t i = 0; i < base.size(); i += 2) {
      const float old = std::bit_cast<float>(uint32_t{load_le<uint16_t>(&base[i])} << 16);
      ByteWriter(raw).u16(bf16(old + std::ldexp(double(bell()), -22) * 2 * noise));
    }
    expect_round_trip(raw, with_row(kBf16, 256), base);
    EXPECT_LT(bits_per_element(raw, with_row(kBf16, 256), base), most) << noise;
  }
  EXPECT_LT(context_mix_encode(base, with_row(kBf16, 256), base).size(), 300u);
}

TEST(ContextMix, SameBytesOnEveryMachine) {
  // Integers only: drift in tables, order of learning or format shows here.
  std::mt19937_64 random(8);
  Bytes raw;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t draw = random();
    const uint64_t exponent = 120 + (draw >> 20 & draw >> 30 & 7);
    ByteWriter(raw).u16(uint16_t((draw & 0x807f) | exponent << 7));
  }
  const Bytes base(raw.rbegin(), raw.rend());
  const Bytes code = context_mix_encode(raw, with_row(kBf16, 100));
  EXPECT_EQ(code, context_mix_encode(raw, with_row(kBf16, 100)));
  EXPECT_EQ(hash64(code), 11068951277061111908u);
  EXPECT_EQ(hash64(context_mix_encode(raw, with_row(kBf16, 100), base)), 3058722536574478377u);
  const ElementLayout bytes{1, false, 0, 0, 100};
  EXPECT_EQ(hash64(context_mix_encode(raw, bytes)), 12570985676799340900u);
}

TEST(ContextMix, RefusesWrongLayoutsAndBases) {
  const Bytes raw(64, 1), base(63, 1);
  EXPECT_THROW(context_mix_encode(raw, {3, false, 0, 0, 0}), Error);
  EXPECT_THROW(context_mix_encode(raw, {2, true, 8, 8, 0}), Error);
  EXPECT_THROW(context_mix_encode(raw, kBf16, base), Error);
}

// Whatever the bytes, decoding ends with an Error or some output.
void decode_hostile(ByteView code, size_t size, const ElementLayout& layout, const Bytes& base) {
  Bytes out(size);
  try {
    context_mix_decode(code, out, layout, base);
  } catch (const Error&) {
  }
}

TEST(ContextMix, SurvivesTruncationAndFlips) {
  const Bytes raw = scaled_matrix(16, 64, 9), base = scaled_matrix(16, 64, 10);
  std::mt19937 random(11);
  for (const ElementLayout& layout : {with_row(kBf16, 64), kFp32, ElementLayout{1, false, 0, 0, 64},
                                      ElementLayout{4, false, 0, 0, 0}}) {
    for (const Bytes& b : {Bytes{}, base}) {
      const Bytes code = context_mix_encode(raw, layout, b);
      for (size_t n = 0; n < std::min<size_t>(code.size(), 200); ++n) {
        decode_hostile(ByteView(code).first(n), raw.size(), layout, b);
      }
      for (int i = 0; i < 300; ++i) {
        Bytes bad = code;
        bad[random() % std::min<size_t>(bad.size(), i < 200 ? 80 : bad.size())] ^=
            uint8_t(1u << random() % 8);
        decode_hostile(bad, raw.size(), layout, b);
      }
    }
  }
}

RC_GTEST_PROP(ContextMix, SurvivesAnyCode, (Bytes code, uint8_t which, uint8_t mode, bool delta)) {
  if (!code.empty()) code[0] = mode % 5;
  const ElementLayout& layout = kAll[which % std::size(kAll)];
  decode_hostile(code, 64, layout, Bytes(delta ? 64 : 0, 0x3f));
}

}  // namespace
}  // namespace pith::lossless
