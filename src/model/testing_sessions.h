// What tests of sessions have in common. Test-only.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "pith/model/session.h"
#include "testing_model.h"

namespace pith::model::testing {

// A small random model.
struct Small {
  explicit Small(DecoderConfig c = small_config())
      : config((check(c), std::move(c))),
        source(config, random_tensors(config)),
        model(make_model(source)) {}
  DecoderConfig config;
  MemoryWeights source;
  LanguageModel model;

  std::vector<int32_t> ids(size_t n, uint32_t seed = 5) const {
    std::mt19937 random(seed);
    std::vector<int32_t> out(n);
    for (int32_t& id : out) id = static_cast<int32_t>(random() % config.vocabulary);
    return out;
  }
  Session session(const char* cache = nullptr) const {
    return Session(model, 800, 2, 0,
                   cache ? std::optional(kv::CacheOptions::parse(cache)) : std::nullopt);
  }
};

inline std::vector<float> floats(form::MatrixView m) { return {m.data, m.data + m.shape.size()}; }

// Of all ids, `piece` of them read at a time.
inline std::vector<float> logits_of(Session session, std::span<const int32_t> ids, uint64_t piece) {
  std::vector<float> all;
  for (uint64_t at = 0; at < ids.size(); at += piece) {
    const auto rows =
        session.feed(ids.subspan(at, std::min<uint64_t>(piece, ids.size() - at)), Logits::kAll);
    all.insert(all.end(), rows.data, rows.data + rows.shape.size());
  }
  return all;
}

// Of b, root of the squares over those of b.
inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += std::pow(a[i] - b[i], 2);
    size += std::pow(b[i], 2);
  }
  return std::sqrt(sum / size);
}

// Kullback-Leibler, nats, of the distribution with logits b from that with logits a.
inline double divergence(std::span<const float> a, std::span<const float> b) {
  const auto log_sum = [](std::span<const float> v) {
    const float most = *std::ranges::max_element(v);
    double sum = 0;
    for (const float x : v) sum += std::exp(static_cast<double>(x) - most);
    return most + std::log(sum);
  };
  const double za = log_sum(a), zb = log_sum(b);
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::exp(a[i] - za) * (a[i] - za - b[i] + zb);
  return sum;
}

}  // namespace pith::model::testing
