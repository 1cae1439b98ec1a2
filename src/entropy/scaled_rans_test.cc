#include "pith/entropy/scaled_rans.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/random.h"

namespace pith::entropy {
namespace {

// Codes of normal numbers of this spread, in a table.
Bytes normal(uint32_t table, double spread, uint64_t n, uint64_t seed) {
  Bytes symbols(n);
  for (uint64_t i = 0; i < n; ++i) {
    const auto code = static_cast<int32_t>(std::lround(spread * random_normal(seed, i)));
    symbols[i] = scaled_symbol(table, code);
  }
  return symbols;
}

TEST(ScaledRans, EveryTableFillsItsSlots) {
  for (uint32_t t = 1; t < kScaledTables; ++t) {
    double sum = 0;
    for (const uint32_t c : scaled_costs(t)) sum += c == kNoCost ? 0 : std::exp2(-(c / 65536.0));
    EXPECT_NEAR(sum, 1, 1e-3) << t;
    EXPECT_GT(scaled_scale(t), 0);
    EXPECT_NE(scaled_costs(t)[kEscape], kNoCost);
  }
}

TEST(ScaledRans, RunsComeBackAndTakeWhatTheirTablesSay) {
  for (const uint64_t n : {0U, 1U, 31U, 500U, 5000U}) {
    std::vector<ScaledRun> runs;
    Bytes all;
    double bits = 0;
    for (uint32_t t = 0; t < kScaledTables; ++t) {
      const Bytes s = t == 0 ? Bytes(n, 0) : normal(t, scaled_scale(t), n, t);
      for (const uint8_t v : s) bits += scaled_costs(t)[v] / 65536.0;
      runs.push_back({t, n});
      all.insert(all.end(), s.begin(), s.end());
    }
    Bytes code;
    scaled_rans_encode(all, runs, code);
    EXPECT_LT(code.size(), bits / 8 * 1.005 + 32 * 4 + 1) << n;
    Bytes back(all.size());
    scaled_rans_decode(code, runs, back);
    EXPECT_EQ(back, all) << n;
  }
}

TEST(ScaledRans, NormalNumbersTakeTheirEntropy) {
  for (const double spread : {1.0, 3.0, 10.0}) {
    double best = 1e9;
    for (uint32_t t = 1; t <= kNormalTables; ++t) {
      const Bytes s = normal(t, spread, 20000, 7);
      Bytes code;
      scaled_rans_encode(s, std::vector<ScaledRun>{{t, s.size()}}, code);
      best = std::min(best, static_cast<double>(code.size()) * 8 / 20000);
    }
    EXPECT_NEAR(best, std::log2(spread * std::sqrt(2 * M_PI * M_E)), 0.12)
        << spread;  // rounding adds to it
  }
}

TEST(ScaledRans, WhatIsDamagedOrWrongIsRefused) {
  const Bytes s = normal(9, 1.5, 3000, 1);
  const std::vector<ScaledRun> runs = {{9, 3000}};
  Bytes code;
  scaled_rans_encode(s, runs, code);
  Bytes back(3000);
  for (size_t n = 0; n < code.size(); n += 11)
    EXPECT_THROW(scaled_rans_decode(ByteView(code).first(n), runs, back), Error) << n;
  for (size_t at = 0; at < code.size(); at += 5) {
    Bytes other = code;
    other[at] ^= 0x10;
    try {
      scaled_rans_decode(other, runs, back);
      EXPECT_NE(back, s);
    } catch (const Error&) {
    }
  }
  EXPECT_THROW(scaled_rans_decode(code, std::vector<ScaledRun>{{9, 2999}}, back), Error);
  EXPECT_THROW(scaled_rans_decode(code, std::vector<ScaledRun>{{99, 3000}}, back), Error);
  Bytes unknown = {200};
  EXPECT_THROW(scaled_rans_encode(unknown, std::vector<ScaledRun>{{1, 1}}, code), Error);
}

}  // namespace
}  // namespace pith::entropy
