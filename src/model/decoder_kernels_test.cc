#include "decoder_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "../base/testing_targets.h"
#include "pith/kv/attention.h"
#include "pith/kv/cache.h"

namespace pith::model {
namespace {

std::vector<float> random_floats(size_t n, float scale, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

constexpr size_t kLengths[] = {0, 1, 3, 15, 16, 17, 64, 100, 257};

TEST(DecoderKernels, RmsNorm) {
  for_each_target([] {
    for (const size_t n : kLengths) {
      const auto x = random_floats(n, 3), w = random_floats(n, 1, 2);
      std::vector<float> out = x;
      rms_norm(out.data(), w.data(), n, 1e-5F, out.data());
      double squares = 0;
      for (const float v : x) squares += double{v} * v;
      const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      for (size_t i = 0; i < n; ++i) EXPECT_NEAR(out[i], x[i] * scale * w[i], 1e-5);
    }
  });
}

TEST(DecoderKernels, SiluTimes) {
  for_each_target([] {
    for (const size_t n : kLengths) {
      auto gate = random_floats(n, 20);
      const auto before = gate, up = random_floats(n, 1, 2);
      silu_times(up.data(), n, gate.data());
      for (size_t i = 0; i < n; ++i) {
        const double wanted = before[i] / (1 + std::exp(-double{before[i]})) * up[i];
        EXPECT_NEAR(gate[i], wanted, 1e-6 * std::abs(wanted) + 1e-30);
      }
    }
    std::vector<float> ends = {1e4F, -1e4F, 0, std::nanf("")};
    const std::vector<float> ones(4, 1);
    silu_times(ones.data(), 4, ends.data());
    EXPECT_EQ(ends[0], 1e4F);
    EXPECT_NEAR(ends[1], 0, 1e-30);
    EXPECT_EQ(ends[2], 0);
    EXPECT_TRUE(std::isnan(ends[3]));
  });
}

TEST(DecoderKernels, Softmax) {
  for_each_target([] {
    for (const size_t n : kLengths) {
      auto x = random_floats(n, 10);
      for (float& v : x) v += 1000;  // e^1000 would overflow
      const auto before = x;
      softmax(n, x.data());
      double sum = 0;
      for (const float v : before) sum += std::exp(double{v} - 1000);
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(x[i], std::exp(double{before[i]} - 1000) / sum, 1e-6);
      }
    }
  });
}

TEST(DecoderKernels, AddScaled) {
  for_each_target([] {
    for (const size_t n : kLengths) {
      const auto x = random_floats(n, 1), y = random_floats(n, 1, 2);
      auto sum = y, scaled = y;
      add(x.data(), n, sum.data());
      add_scaled(x.data(), 0.3F, n, scaled.data());
      for (size_t i = 0; i < n; ++i) {
        EXPECT_EQ(sum[i], x[i] + y[i]);
        EXPECT_NEAR(scaled[i], 0.3F * x[i] + y[i], 1e-6);
      }
    }
  });
}

TEST(DecoderKernels, RotateTurnsPairsInBothLayouts) {
  for_each_target([] {
    for (const uint64_t pairs : {1U, 4U, 10U, 16U, 35U}) {
      const uint64_t size = 2 * pairs + 3, heads = 2;
      std::vector<float> cosines, sines;
      for (uint64_t i = 0; i < pairs; ++i) {
        cosines.push_back(std::cos(0.3F * static_cast<float>(i)));
        sines.push_back(std::sin(0.3F * static_cast<float>(i)));
      }
      for (const auto layout : {RopeLayout::kHalves, RopeLayout::kPairs}) {
        auto x = random_floats(heads * size, 1);
        const auto before = x;
        rotate({layout, heads, size, pairs, cosines.data(), sines.data(), 2}, x.data());
        for (uint64_t h = 0; h < heads; ++h) {
          for (uint64_t i = 0; i < pairs; ++i) {
            const bool halves = layout == RopeLayout::kHalves;
            const uint64_t a = h * size + (halves ? i : 2 * i);
            const uint64_t b = halves ? a + pairs : a + 1;
            EXPECT_NEAR(x[a], 2 * (before[a] * cosines[i] - before[b] * sines[i]), 1e-5);
            EXPECT_NEAR(x[b], 2 * (before[a] * sines[i] + before[b] * cosines[i]), 1e-5);
          }
          for (uint64_t k = 2 * pairs; k < size; ++k) {
            EXPECT_EQ(x[h * size + k], 2 * before[h * size + k]);
          }
        }
      }
    }
  });
}

struct AttentionCase {
  uint64_t size, group, positions, first, window;
};

// Queries of the last positions of a text, against plain loops in double precision.
void expect_attention(const AttentionCase& c) {
  const uint64_t n = c.positions - c.first, stride = c.group * c.size + 5;
  const auto keys = random_floats(c.positions * c.size, 1, 3);
  const auto values = random_floats(c.positions * c.size, 1, 4);
  const auto queries = random_floats(n * stride, 2 / std::sqrt(static_cast<float>(c.size)), 5);
  kv::Cache cache({2, 2}, c.size, c.positions);
  for (uint64_t p = 0; p < c.positions; ++p) {
    cache.write(1, 1, p, keys.data() + p * c.size, values.data() + p * c.size);
  }
  std::vector<float> out(n * stride, 7);
  const kv::SharedHead head{.queries = queries.data(),
                            .out = out.data(),
                            .stride = stride,
                            .group = c.group,
                            .head_size = c.size,
                            .first = c.first,
                            .window = c.window,
                            .keys = cache.keys(1, 1),
                            .values = cache.values(1, 1),
                            .padded_size = cache.padded_size()};
  const uint64_t rows = n * c.group, cut = rows / 3;
  attend(head, 0, cut);
  attend(head, cut, rows);
  for (uint64_t r = 0; r < rows; ++r) {
    const uint64_t at = r / c.group, seen = c.first + at + 1;
    const float* q = queries.data() + at * stride + r % c.group * c.size;
    const float* given = out.data() + at * stride + r % c.group * c.size;
    std::vector<double> wanted(c.size);
    double sum = 0;
    for (uint64_t p = c.window && seen > c.window ? seen - c.window : 0; p < seen; ++p) {
      double dot = 0;
      for (uint64_t i = 0; i < c.size; ++i) dot += double{q[i]} * keys[p * c.size + i];
      sum += std::exp(dot);
      for (uint64_t i = 0; i < c.size; ++i) wanted[i] += std::exp(dot) * values[p * c.size + i];
    }
    double worst = 0;
    for (uint64_t i = 0; i < c.size; ++i) {
      worst = std::max(worst, std::abs(wanted[i] / sum - given[i]));
    }
    ASSERT_LT(worst, 1e-5) << "row " << r;
  }
  // What lies between the heads of two positions stays.
  for (uint64_t at = 0; at < n; ++at) EXPECT_EQ(out[at * stride + c.group * c.size], 7);
}

TEST(Attention, IsThatOfPlainLoops) {
  for_each_target([] {
    expect_attention({64, 4, 1, 0, 0});
    expect_attention({64, 1, 129, 128, 0});
    expect_attention({64, 2, 300, 299, 0});
    expect_attention({20, 3, 270, 120, 0});
    expect_attention({128, 8, 200, 190, 0});
    expect_attention({6, 5, 40, 0, 0});
    expect_attention({80, 7, 256, 255, 0});
  });
}

TEST(Attention, SlidingWindows) {
  for_each_target([] {
    for (const uint64_t window : {1U, 16U, 100U, 128U, 129U, 400U}) {
      expect_attention({20, 2, 300, 100, window});
    }
  });
}

TEST(Attention, ScoresOfAnySize) {
  // The first key is much longer than the others: the running maximum stays with it, or the sums
  // so far vanish.
  kv::Cache cache({1}, 4, 300);
  for (const bool ascending : {true, false}) {
    for (uint64_t p = 0; p < 300; ++p) {
      const float score = static_cast<float>(ascending ? p : 299 - p) * 10;
      const float key[] = {score, 0, 0, 0}, value[] = {static_cast<float>(p), 1, 0, 0};
      cache.write(0, 0, p, key, value);
    }
    const std::vector<float> query = {1, 0, 0, 0};
    std::vector<float> out(4);
    kv::attend({.queries = query.data(),
            .out = out.data(),
            .stride = 4,
            .group = 1,
            .head_size = 4,
            .first = 299,
            .window = 0,
            .keys = cache.keys(0, 0),
            .values = cache.values(0, 0),
            .padded_size = cache.padded_size()},
           0, 1);
    EXPECT_NEAR(out[0], ascending ? 299 : 0, 0.05);
    EXPECT_NEAR(out[1], 1, 1e-6);
  }
}

}  // namespace
}  // namespace pith::model
