#include "pith/lossless/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <random>

#include "pith/base/half.h"

namespace pith::lossless {
namespace {

Bytes encoded(ByteView raw, const Content& content, Level level, ByteView base = {}) {
  Bytes out;
  encode(raw, content, level, base, out);
  return out;
}

Bytes round_trip(ByteView raw, const Content& content, Level level, ByteView base = {}) {
  const Bytes block = encoded(raw, content, level, base);
  Bytes back(raw.size());
  decode(block, base, back);
  return back;
}

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  const auto* p = reinterpret_cast<const uint8_t*>(values.data());
  return {p, p + values.size() * sizeof(T)};
}

std::vector<float> gaussian(size_t n, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(scale));
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

Bytes gaussian_bf16(size_t n, uint32_t seed) {
  std::vector<uint16_t> v;
  for (const float f : gaussian(n, 0.02, seed)) v.push_back(bf16_from_float(f));
  return bytes_of(v);
}

double ratio(ByteView raw, const Content& content, Level level, ByteView base = {}) {
  return static_cast<double>(raw.size()) /
         static_cast<double>(encoded(raw, content, level, base).size());
}

// Data of many characters: what real tensors look like, and what they never should.
Bytes generate(const std::string& kind, size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes b(size);
  if (kind == "noise") {
    for (auto& x : b) x = static_cast<uint8_t>(random());
  } else if (kind == "zeros") {
  } else if (kind == "constant") {
    for (size_t i = 0; i < size; ++i) b[i] = static_cast<uint8_t>(i % 4 + 1);
  } else if (kind == "sparse") {
    for (auto& x : b) x = random() % 10 == 0 ? static_cast<uint8_t>(random()) : uint8_t{0};
  } else if (kind == "few") {
    for (auto& x : b) x = static_cast<uint8_t>(random() % 3 * 17);
  } else if (kind == "weights") {
    const Bytes w = gaussian_bf16(size / 2 + 1, seed);
    std::copy_n(w.begin(), size, b.begin());
  } else if (kind == "specials") {
    const std::vector<float> special = {NAN,  INFINITY, -INFINITY, 0.f,
                                        -0.f, 1e-42f,   -1e-42f,   3e38f};
    for (size_t i = 0; i < size; ++i) {
      b[i] = reinterpret_cast<const uint8_t*>(special.data())[(random() % 8 * 4 + i % 4) % 32];
    }
  } else {
    for (size_t i = 0; i < size; ++i) b[i] = static_cast<uint8_t>("the quick brown fox "[i % 20]);
  }
  return b;
}

const std::vector<std::string> kKinds = {"noise", "zeros",   "constant", "sparse",
                                         "few",   "weights", "specials", "text"};

class EveryType : public testing::TestWithParam<DType> {};

TEST_P(EveryType, ComesBackWhateverItHolds) {
  const uint64_t block = info(GetParam()).block_bytes;
  for (const std::string& kind : kKinds) {
    for (const uint64_t size :
         {uint64_t{0}, uint64_t{1}, block, 7 * block, 64 * block, 1000 * block, 5000 * block + 3}) {
      for (const Level level : {Level::kFast, Level::kDefault, Level::kMax}) {
        const Bytes raw = generate(kind, size, static_cast<uint32_t>(size));
        for (const bool big_endian : {false, true}) {
          const Content content{GetParam(), 64, big_endian};
          ASSERT_EQ(round_trip(raw, content, level), raw)
              << info(GetParam()).name << " " << kind << " " << size << " level " << int(level);
          ASSERT_LE(encoded(raw, content, level).size(), raw.size() + 16);
        }
        const Bytes base = generate("weights", size, 7);
        ASSERT_EQ(round_trip(raw, {GetParam(), 64, false}, level, base), raw)
            << info(GetParam()).name << " " << kind << " " << size << " with base";
      }
    }
  }
}

std::vector<DType> every_type() {
  std::vector<DType> all;
  for (const DTypeInfo& t : all_dtypes()) all.push_back(t.dtype);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Types, EveryType, testing::ValuesIn(every_type()), [](const auto& param) {
  return std::string(::pith::info(param.param).name);
});

TEST(Codec, WeightsComeCloseToTheirEntropy) {
  const Bytes raw = gaussian_bf16(1 << 19, 1);
  EXPECT_GT(ratio(raw, {DType::kBF16, 1024, false}, Level::kDefault), 1.50);
  EXPECT_GT(ratio(raw, {DType::kBytes, 0, false}, Level::kDefault), 1.49)
      << "found without being told";
}

TEST(Codec, NarrowValuesInWideTypesCostWhatTheyAre) {
  std::vector<float> upcast;
  for (const float f : gaussian(1 << 18, 0.02, 2))
    upcast.push_back(float_from_bf16(bf16_from_float(f)));
  EXPECT_GT(ratio(bytes_of(upcast), {DType::kF32, 512, false}, Level::kDefault), 2.95);
  std::vector<float> quantized;
  for (const float f : gaussian(1 << 18, 1, 3)) quantized.push_back(std::round(f * 4) * 0.0371f);
  EXPECT_GT(ratio(bytes_of(quantized), {DType::kF32, 512, false}, Level::kDefault), 7.0);
}

TEST(Codec, ZerosCostTheirEntropy) {
  std::vector<float> v = gaussian(1 << 18, 1, 4);
  std::mt19937 random(5);
  for (float& x : v) {
    if (random() % 10) x = 0;
  }
  EXPECT_GT(ratio(bytes_of(v), {DType::kF32, 512, false}, Level::kDefault), 32 / (0.47 + 2.9));
}

TEST(Codec, ADeltaIsSmallerThanTheFileAlone) {
  const std::vector<float> old_values = gaussian(1 << 18, 0.02, 6),
                           step = gaussian(1 << 18, 0.0002, 7);
  std::vector<uint16_t> before, after;
  for (size_t i = 0; i < old_values.size(); ++i) {
    before.push_back(bf16_from_float(old_values[i]));
    after.push_back(bf16_from_float(old_values[i] + step[i]));
  }
  const Content content{DType::kBF16, 512, false};
  // Steps of 1/100 of the weights: about 3.1 bits a weight are new, XOR and byte planes leave 5.4.
  EXPECT_GT(ratio(bytes_of(after), content, Level::kDefault, bytes_of(before)), 4.0);
  EXPECT_EQ(encoded(bytes_of(before), content, Level::kDefault, bytes_of(before)).size(), 1u);
}

TEST(Codec, ADeltaWithoutItsBaseIsRefused) {
  const Bytes base = gaussian_bf16(4096, 1);
  Bytes raw = base;
  raw[100] ^= 1;
  const Bytes block = encoded(raw, {DType::kBF16, 0, false}, Level::kDefault, base);
  ASSERT_TRUE(needs_base(block));
  Bytes back(raw.size());
  try {
    decode(block, {}, back);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBase);
  }
}

// A damaged block gives an error or other bytes (the archive's checksums tell them apart), but
// never a crash; the sanitizer build watches.
TEST(Codec, SurvivesDamage) {
  std::mt19937 random(1);
  for (const std::string& kind : kKinds) {
    for (const DType dtype : {DType::kBF16, DType::kF32, DType::kI8, DType::kQ4_0, DType::kBytes}) {
      for (const Level level : {Level::kDefault, Level::kMax}) {
        const Bytes raw = generate(kind, 1440, 3), base = generate("weights", 1440, 4);
        for (const ByteView b : {ByteView{}, ByteView{base}}) {
          const Bytes block = encoded(raw, {dtype, 36, false}, level, b);
          Bytes back(raw.size());
          const auto attempt = [&](const Bytes& damaged) {
            try {
              decode(damaged, b, back);
              explain(damaged);
            } catch (const Error&) {
            }
          };
          for (size_t cut = 0; cut < block.size(); ++cut)
            attempt({block.begin(), block.begin() + static_cast<long>(cut)});
          for (size_t bit = 0; bit < 8 * block.size(); bit += 1 + random() % 3) {
            Bytes flipped = block;
            flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ 1 << bit % 8);
            attempt(flipped);
          }
        }
      }
    }
  }
}

RC_GTEST_PROP(Codec, ArbitraryBytesAreNeverACrash, (const Bytes& block, uint16_t size)) {
  Bytes raw(size), base(size);
  try {
    decode(block, base, raw);
    explain(block);
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace pith::lossless
