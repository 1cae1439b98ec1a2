// Attention to tiles in forms, against decoding them first.
#include "pith/kv/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "../base/testing_targets.h"
#include "pith/base/parallel.h"
#include "pith/kv/cache.h"

namespace pith::kv {
namespace {

std::vector<float> noise(size_t n, float deviation, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

// A past of two tiles of `count` tokens and a few tokens that lie as they are.
struct Text {
  uint64_t size, count, latest = 5;
  Past past;
  Cache cache;  // of the latest

  Text(const char* form, uint64_t head_size, uint64_t tokens)
      : size(head_size), count(tokens), cache({1}, head_size, kTileTokens) {
    const CacheOptions options = CacheOptions::parse(form);
    for (uint32_t tile = 0; tile < 2; ++tile)
      past.add(options, noise(count * size, 1, 10 + tile).data(),
               noise(count * size, 1, 20 + tile).data(), count, size);
    const auto k = noise(latest * size, 1, 3), v = noise(latest * size, 1, 4);
    for (uint64_t t = 0; t < latest; ++t)
      cache.write(0, 0, t, k.data() + t * size, v.data() + t * size);
  }
  uint64_t first() const { return past.tokens(); }

  SharedHead head(const float* queries, float* out, uint64_t group, uint64_t window) const {
    return {.queries = queries,
            .out = out,
            .stride = group * size,
            .group = group,
            .head_size = size,
            .first = first(),
            .window = window,
            .keys = cache.keys(0, 0),
            .values = cache.values(0, 0),
            .base = first(),
            .past = &past,
            .padded_size = cache.padded_size()};
  }

  // Keys and values of all tokens, those of tiles decoded.
  std::vector<std::vector<float>> keys, values;
  void decode() {
    std::vector<float> k(size * kTileTokens), v(kTileTokens * size);
    for (uint64_t tile = 0; tile < past.tiles(); ++tile) {
      past.load_keys(tile, k.data());
      past.load_values(tile, v.data(), size);
      for (uint64_t t = 0; t < count; ++t) {
        keys.emplace_back(size);
        for (uint64_t c = 0; c < size; ++c) keys.back()[c] = k[c * kTileTokens + t];
        values.emplace_back(v.begin() + static_cast<int64_t>(t * size),
                            v.begin() + static_cast<int64_t>((t + 1) * size));
      }
    }
    const auto plain_keys = noise(latest * size, 1, 3), plain_values = noise(latest * size, 1, 4);
    for (uint64_t t = 0; t < latest; ++t) {
      const auto at = static_cast<int64_t>(t * size), end = at + static_cast<int64_t>(size);
      keys.emplace_back(plain_keys.begin() + at, plain_keys.begin() + end);
      values.emplace_back(plain_values.begin() + at, plain_values.begin() + end);
    }
  }
};

// The largest difference to plain loops over what the forms decode to, in double precision.
double worst_error(const char* form, uint64_t size, uint64_t count, uint64_t group, uint64_t window,
                   const Contexts& contexts = {}) {
  Text text(form, size, count);
  text.decode();
  const auto queries =
      noise(text.latest * group * size, 1.5F / std::sqrt(static_cast<float>(size)), 5);
  std::vector<float> out(queries.size());
  SharedHead head = text.head(queries.data(), out.data(), group, window);
  head.contexts = contexts;
  attend(head, 0, text.latest * group);
  double worst = 0;
  for (uint64_t r = 0; r < text.latest * group; ++r) {
    const uint64_t seen = text.first() + r / group + 1;
    std::vector<double> wanted(size), weights(seen);
    double sum = 0, of_contexts = 0;
    for (uint64_t p = window && seen > window ? seen - window : 0; p < seen; ++p) {
      double dot = 0;
      for (uint64_t c = 0; c < size; ++c) dot += double{queries[r * size + c]} * text.keys[p][c];
      weights[p] = std::exp(dot);
      if (p >= contexts.begin && p < contexts.end) of_contexts += weights[p];
    }
    for (uint64_t p = 0; p < seen; ++p) {
      if (p >= contexts.begin && p < contexts.end)
        weights[p] *= std::pow(of_contexts, contexts.scale - 1);
      sum += weights[p];
      for (uint64_t c = 0; c < size; ++c) wanted[c] += weights[p] * text.values[p][c];
    }
    for (uint64_t c = 0; c < size; ++c)
      worst = std::max(worst, std::abs(wanted[c] / sum - out[r * size + c]));
  }
  return worst;
}

// Where weights have a byte beside codes: 7 bits of the largest.
constexpr double kOfBytes = 6e-2;

struct Kind {
  const char* form;
  double error;
};

TEST(AttentionToTiles, IsThatOfDecodedOnes) {
  constexpr Kind kKinds[] = {
      {"dense(f16)", 1e-5},
      {"dense(bf16)", 1e-5},
      {"uniform(2, group=32)", kOfBytes},
      {"uniform(3, group=32)", kOfBytes},
      {"uniform(4, group=32, zero=true)", kOfBytes},
      {"uniform(8, group=32)", 1e-3},
      {"uniform(4, group=20)", kOfBytes},
      {"uniform(4, grid=gaussian)", 1e-5},
      {"lowrank(3)", 1e-4},
      {"sparse(50%)", 1e-5},
      {"uniform(2, group=32) + lowrank(2) + sparse(2%)", kOfBytes},
      {"dct * sparse(40%)", 1e-4},
      {"hadamard | uniform(4, group=32)", kOfBytes},
      {"cache(keys=uniform(8), values=uniform(8), keys_by=token, values_by=channel)", 3e-2},
      {"cache(keys=sparse(30%), values=sparse(30%), keys_by=token, values_by=channel)", 1e-5},
      {"cache(keys=hadamard | uniform(4), values=hadamard | uniform(4), keys_by=token)", 3e-2},
      {"cache(keys=uniform(4), values=uniform(4), keys_by=token, sink=7)", 3e-2},
      {"cache(keys=uniform(4), values=uniform(4), sink=7)", kOfBytes},
  };
  for_each_target([&] {
    uint64_t group = 0;
    for (const Kind& kind : kKinds) {
      group = group % 8 + 1;
      for (const auto& [size, count] : {std::pair<uint64_t, uint64_t>{6, 1}, {20, 37}, {64, 128}})
        EXPECT_LT(worst_error(kind.form, size, count, group, 0), kind.error)
            << kind.form << " " << size << " " << count;
    }
  });
}

TEST(AttentionToTiles, OfGgmlsBlocks) {
  for_each_target([] {
    for (const auto& [form, error] : {Kind{"ggml(q4_0)", kOfBytes}, Kind{"ggml(q8_0)", 1e-3}}) {
      EXPECT_LT(worst_error(form, 64, 128, 3, 0), error) << form;
      EXPECT_LT(worst_error(form, 128, 96, 8, 0), error) << form;
      const std::string by_token = fmt::format("cache(keys={0}, values={0}, keys_by=token)", form);
      EXPECT_LT(worst_error(by_token.c_str(), 96, 77, 2, 0), 3e-2) << form;
    }
  });
}

TEST(AttentionToTiles, HeadsOfAnySize) {
  for (const uint64_t size : {6U, 20U, 64U, 80U, 128U}) {
    for (const uint64_t count : {1U, 16U, 100U, 128U}) {
      for (const auto& [form, error] : {Kind{"uniform(5, group=32)", 1e-3},
                                        {"uniform(4, group=32)", kOfBytes},
                                        {"uniform(2, group=16)", kOfBytes},
                                        {"dense(f16)", 1e-3}})
        EXPECT_LT(worst_error(form, size, count, 1 + size % 8, 0), error) << form << size << count;
    }
  }
}

TEST(AttentionToTiles, SlidingWindows) {
  for (const uint64_t window : {1U, 4U, 100U, 130U, 200U, 1000U}) {
    for (const char* form : {"uniform(5, group=32)", "dense(f16)", "codebook(16)"})
      EXPECT_LT(worst_error(form, 20, 128, 2, window), 1e-3) << form << " " << window;
  }
}

TEST(AttentionToTiles, ContextsWeighByTheirPower) {
  for_each_target([] {
    for (const float scale : {1.0F, 0.9F, 0.5F, 1.5F}) {
      for (const auto& [begin, end] :
           {std::pair<uint64_t, uint64_t>{0, 3}, {0, 256}, {3, 256}, {100, 131}, {200, 257}}) {
        for (const char* form : {"dense(f16)", "uniform(5, group=32)"})
          EXPECT_LT(worst_error(form, 20, 128, 3, 0, {begin, end, scale}), 1e-3)
              << form << " " << begin << " " << end << " " << scale;
      }
    }
  });
}

TEST(AttentionToTiles, RowsDoNotDependOnEachOther) {
  for (const char* form :
       {"uniform(4, group=32)", "dense(f16)", "hadamard | uniform(4)", "sparse(50%)",
        "cache(keys=uniform(4), values=uniform(4), keys_by=token, values_by=channel)",
        "cache(keys=sparse(30%), values=sparse(30%), keys_by=token, values_by=channel)",
        "cache(keys=ggml(q4_0), values=ggml(q8_0), keys_by=token)"}) {
    const Text text(form, 64, 128);
    const uint64_t group = 4, rows = text.latest * group;
    const auto queries = noise(rows * text.size, 0.1F, 5);
    std::vector<float> all(queries.size()), each(queries.size());
    attend(text.head(queries.data(), all.data(), group, 0), 0, rows);
    parallel_for(2, rows, [&](size_t r) {
      attend(text.head(queries.data(), each.data(), group, 0), r, r + 1);
    });
    EXPECT_EQ(all, each) << form;
  }
}

}  // namespace
}  // namespace pith::kv
