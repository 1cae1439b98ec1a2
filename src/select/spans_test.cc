#include "pith/select/spans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::select {
namespace {

using form::Matrix;

// Items of a segment attend to each other `inside` times as much as to others, with noise, as a
// softmax gives it; and all to the first.
Matrix planted(const std::vector<uint32_t>& ends, double inside, double noise, uint64_t seed) {
  const uint64_t n = ends.back() + 1;
  Matrix map({n, n});
  const auto segment = [&](uint64_t i) {
    return std::ranges::lower_bound(ends, static_cast<uint32_t>(i)) - ends.begin();
  };
  for (uint64_t r = 0; r < n; ++r) {
    double sum = 0;
    for (uint64_t c = 0; c <= r; ++c) {
      double w = std::exp(noise * random_normal(seed, r * n + c));
      if (segment(c) == segment(r)) w *= inside;
      map.row(r)[c] = static_cast<float>(w);
      sum += w;
    }
    for (uint64_t c = 0; c <= r; ++c) map.row(r)[c] /= static_cast<float>(sum);
    for (uint64_t c = r + 1; c < n; ++c) map.row(r)[c] = 7;  // not looked at
  }
  return map;
}

// The share of planted ends that were found, to within one item.
double found(const std::vector<uint32_t>& planted_ends, const std::vector<uint32_t>& ends) {
  double sum = 0;
  for (const uint32_t p : planted_ends)
    sum += std::ranges::any_of(ends, [&](uint32_t e) { return e + 1 >= p && e <= p + 1; });
  return sum / static_cast<double>(planted_ends.size());
}

std::vector<uint32_t> random_ends(uint64_t seed) {
  std::vector<uint32_t> ends;
  uint32_t at = 0;
  for (uint64_t i = 0; i < 10; ++i) {
    at += 10 + static_cast<uint32_t>(random_bits(seed, i) % 30);
    ends.push_back(at - 1);
  }
  return ends;
}

TEST(Spans, EndWherePlantedSegmentsEnd) {
  double clear = 0, noisy = 0, fixed = 0, extra = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const std::vector<uint32_t> ends = random_ends(seed);
    const auto sharp = span_ends(planted(ends, 20, 0.3, seed).view());
    clear += found(ends, sharp) / 8;
    extra += static_cast<double>(sharp.size()) / static_cast<double>(ends.size()) / 8;
    noisy += found(ends, span_ends(planted(ends, 5, 0.8, seed).view())) / 8;
    std::vector<uint32_t> blocks;
    for (uint32_t e = 15; e <= ends.back() + 16; e += 16) blocks.push_back(e);
    fixed += found(ends, blocks) / 8;
  }
  EXPECT_GE(clear, 0.95);
  EXPECT_LE(extra, 1.2);
  EXPECT_GE(noisy, 0.7);
  EXPECT_LE(fixed, 0.4);
}

TEST(Spans, CoverAllWithinTheLimits) {
  for (const uint64_t n : {1U, 2U, 7U, 8U, 9U, 100U, 131U}) {
    Matrix map({n, n});
    for (size_t i = 0; i < map.values.size(); ++i)
      map.values[i] = static_cast<float>(random_bits(3, i) % 1000);
    for (const SpanOptions& o : {SpanOptions{}, SpanOptions{1, 1}, SpanOptions{5, 300}}) {
      const std::vector<uint32_t> ends = span_ends(map.view(), o);
      ASSERT_FALSE(ends.empty());
      EXPECT_EQ(ends.back(), n - 1);
      uint32_t before = 0;
      for (const uint32_t e : ends) {
        EXPECT_GE(e + 1, before + 1);
        EXPECT_LE(e + 1 - before, o.most);
        before = e + 1;
      }
    }
  }
  EXPECT_TRUE(span_ends(Matrix({0, 0}).view()).empty());
  // Nothing to tell items apart by.
  EXPECT_EQ(span_ends(Matrix({128, 128}).view()), (std::vector<uint32_t>{63, 127}));
}

TEST(Spans, RefuseWhatCannotBe) {
  EXPECT_THROW(span_ends(Matrix({3, 4}).view()), Error);
  Matrix map({20, 20});
  EXPECT_THROW(span_ends(map.view(), {0, 5}), Error);
  EXPECT_THROW(span_ends(map.view(), {6, 5}), Error);
  for (const float bad : {-1.0F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    map.row(9)[4] = bad;
    EXPECT_THROW(span_ends(map.view()), Error);
  }
}

}  // namespace
}  // namespace pith::select
