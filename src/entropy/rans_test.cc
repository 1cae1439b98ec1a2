// Both rANS coders: every distribution, length and instruction set, and hostile input.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <string>

#include "../base/testing_targets.h"
#include "entropy_test_data.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/nibble_rans.h"

namespace pith::entropy {
namespace {

struct Coder {
  const char* name;
  size_t (*bound)(size_t);
  size_t (*encode)(ByteView, MutableByteView);
  void (*decode)(ByteView, MutableByteView);
  double (*cost)(const Histogram&);
};

const Coder kCoders[] = {
    {"nibble", nibble_rans_bound, nibble_rans_encode, nibble_rans_decode, nibble_rans_cost},
    {"byte", byte_rans_bound, byte_rans_encode, byte_rans_decode, byte_rans_cost},
};

Bytes encode(const Coder& c, ByteView symbols) {
  Bytes out(c.bound(symbols.size()));
  out.resize(c.encode(symbols, out));
  out.shrink_to_fit();
  return out;
}

// Same bytes on every target, and back again; the code, empty when it would not be smaller.
Bytes round_trip(const Coder& c, const Bytes& symbols) {
  Bytes code = encode(c, symbols);
  for_each_target([&] {
    EXPECT_EQ(encode(c, symbols), code);
    if (code.empty()) return;
    Bytes back(symbols.size() + 64, 0xA5);
    c.decode(code, MutableByteView(back).first(symbols.size()));
    EXPECT_EQ(0, std::memcmp(back.data(), symbols.data(), symbols.size()));
    for (size_t i = symbols.size(); i < back.size(); ++i) EXPECT_EQ(back[i], 0xA5);
  });
  EXPECT_TRUE(code.size() < symbols.size() || code.empty());
  return code;
}

class Rans : public testing::TestWithParam<Coder> {};
INSTANTIATE_TEST_SUITE_P(Coders, Rans, testing::ValuesIn(kCoders),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(Rans, EveryLengthNearTheBoundaries) {
  for (const size_t n : {0u,     1u,     2u,     15u,    63u,    64u,     65u,     255u,   511u,
                         512u,   1023u,  1024u,  1025u,  4095u,  4096u,   4097u,   16383u, 16384u,
                         16385u, 16447u, 32767u, 32768u, 32769u, 100000u, 1u << 20}) {
    SCOPED_TRACE(n);
    round_trip(GetParam(), gaussian_exponents(n, n));
    round_trip(GetParam(), Bytes(n, 17));
    round_trip(GetParam(), geometric(n, n, 2));
    round_trip(GetParam(), geometric(n, n, 256, 0.1));
  }
}

TEST_P(Rans, UniformBytesAreRefused) {
  EXPECT_TRUE(round_trip(GetParam(), geometric(100000, 1, 256, 0)).empty());
  EXPECT_TRUE(round_trip(GetParam(), geometric(10, 1, 256, 0)).empty());
}

TEST_P(Rans, ConstantTakesAFewBytes) {
  EXPECT_LE(round_trip(GetParam(), Bytes(1 << 20, 200)).size(), 12u);
  EXPECT_LE(round_trip(GetParam(), Bytes(100, 0)).size(), 8u);
}

TEST_P(Rans, DistributionThatChangesGetsItsOwnTables) {
  Bytes symbols = gaussian_exponents(1 << 18, 1, 0.02f);
  const Bytes other = gaussian_exponents(1 << 18, 2, 40.0f), flat(1 << 17, 3);
  symbols.insert(symbols.end(), other.begin(), other.end());
  symbols.insert(symbols.end(), flat.begin(), flat.end());
  const double separate =
      8.0 * static_cast<double>(encode(GetParam(), ByteView(symbols).first(1 << 18)).size() +
                                encode(GetParam(), other).size());
  const double together = 8.0 * static_cast<double>(round_trip(GetParam(), symbols).size());
  EXPECT_LT(together, separate * 1.002);
}

TEST_P(Rans, AlmostConstant) {
  Bytes symbols(200000, 9);
  for (size_t i = 0; i < symbols.size(); i += 5003) symbols[i] = static_cast<uint8_t>(i);
  EXPECT_LT(round_trip(GetParam(), symbols).size(), 1200u);
}

TEST_P(Rans, CostIsNearTheSize) {
  for (const double spread : {0.1, 0.3, 0.5, 0.9}) {
    const Bytes symbols = geometric(60000, 5, 256, spread);
    Histogram counts;
    histogram(symbols, counts);
    const double size = 8.0 * static_cast<double>(encode(GetParam(), symbols).size());
    EXPECT_NEAR(GetParam().cost(counts) / size, 1, 0.04) << spread;
  }
}

RC_GTEST_PROP(RansProperty, RoundTrip, ()) {
  const auto alphabet = *rc::gen::inRange<uint32_t>(1, 257);
  const auto spread = *rc::gen::element(0.0, 0.02, 0.1, 0.3, 0.6, 0.95);
  const auto n = *rc::gen::inRange<size_t>(0, 1 << *rc::gen::inRange(1, 17));
  const auto seed = *rc::gen::arbitrary<uint64_t>();
  Bytes symbols = geometric(n, seed, alphabet, spread);
  const auto turn = *rc::gen::arbitrary<uint8_t>();
  for (uint8_t& s : symbols) s = static_cast<uint8_t>(s * 167 + turn);
  for (const Coder& c : kCoders) {
    round_trip(c, symbols);
    RC_ASSERT(!testing::Test::HasFailure());
  }
}

// Either an error or some output: never a crash, which is what the sanitizers watch.
bool survives(const Coder& c, ByteView code, size_t n) {
  const Bytes exact(code.begin(), code.end());  // so that reads past the end are seen
  Bytes out(n);
  try {
    c.decode(exact, out);
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kData);
    return false;
  }
}

void attack(const Coder& c, const Bytes& symbols) {
  Bytes code = encode(c, symbols);
  ASSERT_FALSE(code.empty());
  for (size_t cut = 0; cut < code.size(); ++cut) {
    EXPECT_FALSE(survives(c, ByteView(code).first(cut), symbols.size())) << cut;
  }
  for (size_t bit = 0; bit < 8 * code.size(); ++bit) {
    code[bit / 8] = static_cast<uint8_t>(code[bit / 8] ^ 1u << bit % 8);
    survives(c, code, symbols.size());
    code[bit / 8] = static_cast<uint8_t>(code[bit / 8] ^ 1u << bit % 8);
  }
  code.push_back(0);
  EXPECT_FALSE(survives(c, code, symbols.size()));
  code.pop_back();
  for (const size_t n : {size_t{0}, symbols.size() - 1, symbols.size() + 1, 2 * symbols.size()}) {
    EXPECT_FALSE(survives(c, code, n)) << n;
  }
}

TEST_P(Rans, HostileSmallStream) {
  attack(GetParam(), gaussian_exponents(700, 3));
  attack(GetParam(), geometric(900, 3, 256, 0.06));
}

TEST_P(Rans, HostileFullWidthStream) {
  for_each_target([&] {
    const Bytes symbols = geometric(17000, 4, 40, 0.35);
    Bytes code = encode(GetParam(), symbols);
    std::mt19937 random(5);
    for (int i = 0; i < 300; ++i) {
      Bytes damaged = code;
      const size_t span = i % 2 == 0 ? 60 : damaged.size();
      damaged[random() % span] ^= static_cast<uint8_t>(1 + random() % 255);
      survives(GetParam(), damaged, symbols.size());
      survives(GetParam(), ByteView(damaged).first(random() % damaged.size()), symbols.size());
    }
  });
}

TEST_P(Rans, RandomBytesAsCode) {
  std::mt19937 random(6);
  for (int i = 0; i < 3000; ++i) {
    Bytes code(random() % 300);
    for (uint8_t& b : code) b = static_cast<uint8_t>(random());
    if (!code.empty() && i % 2 == 0) code[0] &= 0x25;
    survives(GetParam(), code, random() % 40000);
  }
}

TEST_P(Rans, LimitsAreChecked) {
  Bytes symbols(100), out(GetParam().bound(100) - 1);
  EXPECT_THROW(GetParam().encode(symbols, out), Error);
}

TEST(NibbleRans, CloseToTheEntropyOfExponents) {
  constexpr size_t kSymbols = 1 << 19, kPart = 1 << 15;
  const Bytes symbols = gaussian_exponents(kSymbols, 7);
  double entropy = 0;
  for (size_t i = 0; i < kSymbols; i += kPart) {
    Histogram counts;
    histogram(ByteView(symbols).subspan(i, kPart), counts);
    entropy += entropy_bits(counts);
  }
  const double bits = 8.0 * static_cast<double>(encode(kCoders[0], symbols).size());
  EXPECT_LT((bits - entropy) / kSymbols, 0.012);
}

TEST(ByteRans, CloseToTheEntropyOfQuantizedWeights) {
  for (const double sigma : {3.0, 10.0, 30.0, 60.0}) {
    const Bytes symbols = gaussian_bytes(1 << 19, 8, sigma);
    Histogram counts;
    histogram(symbols, counts);
    EXPECT_LT(8.0 * static_cast<double>(encode(kCoders[1], symbols).size()),
              1.003 * entropy_bits(counts))
        << sigma;
  }
}

}  // namespace
}  // namespace pith::entropy
