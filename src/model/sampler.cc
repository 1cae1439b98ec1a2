#include "pith/model/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::model {
namespace {

using Candidate = Sampler::Candidate;

// Equal logits in the order of ids, so that every step has one result.
bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// exp(x), x <= 0, by additions and multiplications alone: libraries differ in the last bit. The
// error is below 1e-13 of the result.
double exp_down(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2High = 0x1.62e42feep-1,
                   kLn2Low = 0x1.a39ef35793c76p-33;
  if (!(x > -700)) return 0;
  const double k = std::nearbyint(x * kLog2E);
  const double r = (x - k * kLn2High) - k * kLn2Low;  // |r| <= 0.35
  double sum = 1;
  for (int i = 13; i > 0; --i) sum = 1 + r * sum / i;  // Taylor, innermost term first
  return std::ldexp(sum, static_cast<int>(k));
}

void require(bool holds, const char* what, double got) {
  if (!holds) fail(ErrorKind::kUsage, "{}, got {}", what, got);
}

}  // namespace

Sampler::Sampler(SamplerOptions options) : options_(std::move(options)) {
  const SamplerOptions& o = options_;
  require(o.temperature >= 0 && o.temperature <= 1e6, "temperature must be 0 or more",
          o.temperature);
  require(o.typical > 0 && o.typical <= 1, "typical must be above 0 and at most 1", o.typical);
  require(o.top_p > 0 && o.top_p <= 1, "top-p must be above 0 and at most 1", o.top_p);
  require(o.min_p >= 0 && o.min_p <= 1, "min-p must be from 0 to 1", o.min_p);
  require(o.repeat_penalty > 0 && o.repeat_penalty <= 1e6, "the repeat penalty must be above 0",
          o.repeat_penalty);
  require(std::abs(o.frequency_penalty) <= 1e6, "the frequency penalty must be a number",
          o.frequency_penalty);
  require(std::abs(o.presence_penalty) <= 1e6, "the presence penalty must be a number",
          o.presence_penalty);
  for (const auto& [id, bias] : o.logit_bias) {
    require(id >= 0, "the id of a logit bias must be 0 or more", id);
    require(bias <= 1e6, "a logit bias must be a number or -infinity", bias);
  }
}

void Sampler::accept(std::span<const int32_t> ids) {
  if (options_.penalty_window == 0) return;
  for (const int32_t id : ids) {
    if (recent_.size() == options_.penalty_window) recent_.pop_front();
    recent_.push_back(id);
  }
}

int32_t Sampler::sample(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  add_bias();
  penalize();
  const bool greedy = options_.temperature == 0;
  gather(greedy ? 1 : options_.top_k == 0 ? adjusted_.size() : options_.top_k);
  if (greedy) {
    candidates_.front().probability = 1;
    return candidates_.front().id;
  }
  keep_typical();
  keep_top_p();
  keep_min_p();
  softmax(options_.temperature);
  double left = random_unit(options_.seed, draws_++);
  for (const Candidate& c : candidates_) {
    left -= c.probability;
    if (left < 0) return c.id;
  }
  return candidates_.front().id;  // what rounding left over goes to the most probable
}

void Sampler::add_bias() {
  for (const auto& [id, bias] : options_.logit_bias) {
    if (static_cast<size_t>(id) >= adjusted_.size()) {
      fail(ErrorKind::kUsage, "a logit bias for token {}, but there are {} tokens", id,
           adjusted_.size());
    }
    adjusted_[static_cast<size_t>(id)] += static_cast<float>(bias);
  }
}

void Sampler::penalize() {
  const SamplerOptions& o = options_;
  if (o.repeat_penalty == 1 && o.frequency_penalty == 0 && o.presence_penalty == 0) return;
  std::map<int32_t, int> counts;
  for (const int32_t id : recent_) ++counts[id];
  for (const auto& [id, count] : counts) {
    if (id < 0 || static_cast<size_t>(id) >= adjusted_.size()) continue;
    float& logit = adjusted_[static_cast<size_t>(id)];
    const double scaled = logit > 0 ? logit / o.repeat_penalty : logit * o.repeat_penalty;
    logit = static_cast<float>(scaled - (count * o.frequency_penalty + o.presence_penalty));
  }
}

// The k best, sorted. One pass over the vocabulary, in which nearly every logit fails one
// comparison with the k-th best of those before.
void Sampler::gather(size_t k) {
  k = std::min(k, adjusted_.size());
  const auto trim = [&] {
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
    std::nth_element(candidates_.begin(), end - 1, candidates_.end(), better);
    candidates_.erase(end, candidates_.end());
    return candidates_.back().logit;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  candidates_.clear();
  double least = -kInfinity;  // of later ids, only better logits count
  for (size_t i = 0; i < adjusted_.size(); ++i) {
    const float logit = adjusted_[i];
    if (logit <= least) continue;
    if (std::isnan(logit) || logit == kInfinity) {
      fail(ErrorKind::kData,
           "the logit of token {} is {}: weights or sums left the range of floats", i,
           std::isnan(logit) ? "nan" : "inf");
    }
    candidates_.push_back({static_cast<int32_t>(i), logit, 0});
    if (candidates_.size() >= 2 * k + 64) least = trim();
  }
  if (candidates_.empty()) fail(ErrorKind::kData, "no token has a finite logit");
  if (candidates_.size() > k) trim();
  std::sort(candidates_.begin(), candidates_.end(), better);
}

void Sampler::keep_typical() {
  if (options_.typical >= 1) return;
  softmax(1);
  // A surprise is log(sum) - logit, the entropy its mean: what they differ by needs no logarithm.
  double mean = 0;
  for (const Candidate& c : candidates_) mean += c.probability * c.logit;
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const double x = std::abs(a.logit - mean), y = std::abs(b.logit - mean);
    return x != y ? x < y : better(a, b);
  });
  keep_probability(options_.typical);
  std::sort(candidates_.begin(), candidates_.end(), better);
}

void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  softmax(1);
  keep_probability(options_.top_p);
}

// The first ones that sum to this probability.
void Sampler::keep_probability(double wanted) {
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && sum < wanted) sum += candidates_[kept++].probability;
  candidates_.resize(kept);
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0) return;
  softmax(1);
  const double least = options_.min_p * candidates_.front().probability;
  std::erase_if(candidates_, [least](const Candidate& c) { return c.probability < least; });
}

void Sampler::softmax(double temperature) {
  const double largest = candidates_.front().logit;
  double sum = 0;
  for (Candidate& c : candidates_) {
    c.probability = exp_down((c.logit - largest) / temperature);
    sum += c.probability;
  }
  for (Candidate& c : candidates_) c.probability /= sum;
}

}  // namespace pith::model
