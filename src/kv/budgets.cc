// How the heads of a cache share the tokens that all of them keep.
#include <algorithm>
#include <numeric>

#include "pith/base/parallel.h"
#include "pith/kv/cache.h"
#include "pith/math/eigen.h"
#include "pith/select/scores.h"
#include "pith/select/shares.h"

namespace pith::kv {
namespace {

// Tokens that are given at a time.
constexpr uint64_t kStep = 8;

// Which group each layer falls into: those begin where the entropy is farthest below that of the
// layer before.
std::vector<uint64_t> groups_of(const std::vector<double>& entropies, uint64_t groups) {
  std::vector<size_t> drops(entropies.empty() ? 0 : entropies.size() - 1);
  std::iota(drops.begin(), drops.end(), size_t{1});
  std::ranges::stable_sort(drops, std::greater(),
                           [&](size_t l) { return entropies[l - 1] - entropies[l]; });
  drops.resize(std::min<size_t>(drops.size(), groups - 1));
  std::vector<uint64_t> out(entropies.size());
  for (size_t l = 0; l < out.size(); ++l)
    out[l] = static_cast<uint64_t>(std::ranges::count_if(drops, [&](size_t d) { return d <= l; }));
  return out;
}

}  // namespace

std::vector<uint64_t> Cache::budgets(uint64_t read, uint64_t leaving, uint64_t plain, int threads) {
  if (!options_->budget) return {};
  const Budget& b = *options_->budget;
  const uint64_t heads = past_.size(), each = options_->least(b.of(read));
  std::vector<uint64_t> sizes(heads);
  for (size_t h = 0; h < heads; ++h) sizes[h] = past_[h].kept() + plain;
  // No head can have less than what stays in any case.
  const select::ShareOptions options{.least = options_->least(0), .step = kStep};
  switch (b.shares) {
    case Budget::Shares::kEven:
      break;
    case Budget::Shares::kFalling:
      return select::shares_falling(sizes, each * heads, b.ratio, options);
    case Budget::Shares::kEntropy:
      measure_entropies(read, leaving, plain, threads);
      return by_entropy(each, sizes);
    case Budget::Shares::kAttention:
      return by_attention(each);
    case Budget::Shares::kWeights:
      return select::shares_by_weight(b.weights, sizes, each * heads, options);
    case Budget::Shares::kClasses: {
      std::vector<double> weights(heads);
      for (size_t h = 0; h < heads; ++h) weights[h] = moving_[h] ? 1 : b.ratio;
      return select::shares_by_weight(weights, sizes, each * heads, options);
    }
  }
  return std::vector<uint64_t>(heads, each);
}

void Cache::measure_entropies(uint64_t read, uint64_t leaving, uint64_t plain, int threads) {
  moments_.resize(past_.size(), std::vector<float>(head_size_ * head_size_));
  entropies_.resize(past_.size());
  parallel_for(threads, past_.size(), [&](size_t head) {
    const auto add = [&](uint64_t begin, uint64_t end, std::vector<float>& to) {
      Past::Rows rows;
      copy_rows(head, begin, end - begin, rows);
      const std::vector<float> more =
          math::gram(rows.keys.data(), end - begin, head_size_, head_size_);
      for (size_t i = 0; i < to.size(); ++i) to[i] += more[i];
    };
    add(0, leaving, moments_[head]);
    std::vector<float> all = moments_[head];
    add(leaving, plain, all);
    entropies_[head] = select::matrix_entropy_of_moments(all, head_size_, read);
  });
}

std::vector<uint64_t> Cache::by_entropy(uint64_t each, const std::vector<uint64_t>& sizes) const {
  const Budget& b = *options_->budget;
  std::vector<double> weights = entropies_;
  if (b.groups > 1) {
    // The heads of a layer share what its group has by their own entropies.
    std::vector<double> of_layers(first_.size() - 1);
    const auto heads = [&](size_t l) {
      return std::span(weights).subspan(first_[l], first_[l + 1] - first_[l]);
    };
    for (size_t l = 0; l < of_layers.size(); ++l)
      of_layers[l] = std::accumulate(heads(l).begin(), heads(l).end(), 0.0) /
                     static_cast<double>(std::max<size_t>(heads(l).size(), 1));
    const std::vector<uint64_t> groups = groups_of(of_layers, b.groups);
    const auto last = static_cast<double>(std::max<uint64_t>(groups.back(), 1));
    for (size_t l = 0; l < of_layers.size(); ++l) {
      const double share = b.ratio + (1 - b.ratio) * static_cast<double>(groups[l]) / last;
      for (double& w : heads(l)) w = of_layers[l] > 0 ? share * w / of_layers[l] : share;
    }
  }
  return select::shares_by_weight(weights, sizes, each * weights.size(),
                                  {.least = options_->least(0), .step = kStep});
}

std::vector<uint64_t> Cache::by_attention(uint64_t each) const {
  const select::ShareOptions options{.least = options_->least(0), .step = kStep};
  std::vector<uint64_t> out;
  // Of heads begin … end - 1.
  const auto share = [&](uint64_t begin, uint64_t end) {
    std::vector<std::vector<float>> scores;
    for (uint64_t h = begin; h < end; ++h) scores.push_back(records_[h].latest(Budget::kLatest));
    const std::vector<uint64_t> of = select::shares_by_score(scores, each * scores.size(), options);
    out.insert(out.end(), of.begin(), of.end());
  };
  const Budget::Among among = options_->budget->among;
  if (among == Budget::Among::kAll) {
    share(0, records_.size());
    return out;
  }
  if (among == Budget::Among::kLayer) {
    for (uint64_t l = 0; l + 1 < first_.size(); ++l) share(first_[l], first_[l + 1]);
    return out;
  }
  // A layer is as one head that gave what its heads give together, in any order of items: the best
  // of each of them, the second best, …
  std::vector<std::vector<float>> scores;
  for (uint64_t l = 0; l + 1 < first_.size(); ++l) {
    scores.emplace_back();
    for (uint64_t h = first_[l]; h < first_[l + 1]; ++h) {
      std::vector<float> one = records_[h].latest(Budget::kLatest);
      std::ranges::sort(one, std::greater());
      scores.back().resize(std::max(scores.back().size(), one.size()));
      for (size_t i = 0; i < one.size(); ++i) scores.back()[i] += one[i];
    }
  }
  const auto layers = static_cast<uint64_t>(
      std::ranges::count_if(scores, [](const auto& s) { return !s.empty(); }));
  const std::vector<uint64_t> of = select::shares_by_score(scores, each * layers, options);
  for (uint64_t l = 0; l + 1 < first_.size(); ++l) out.resize(first_[l + 1], of[l]);
  return out;
}

}  // namespace pith::kv
