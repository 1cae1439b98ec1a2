#include "pith/fit/soft_clusters.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"

namespace pith::fit {
namespace {

using Numbers = std::vector<double>;

}  // namespace

SoftClusters::SoftClusters(std::span<const float> weights, std::span<const double> centroids,
                           const SoftClusterOptions& options)
    : options_(options), index_(weights.size()) {
  if (!(options.temperature > 0) || options.rounds < 0 || centroids.empty() ||
      centroids.size() > 65536) {
    fail(ErrorKind::kUsage, "soft clusters: {} centroids at temperature {}", centroids.size(),
         options.temperature);
  }
  if (options.unique) {
    std::vector<float> sorted(weights.begin(), weights.end());
    std::ranges::sort(sorted);
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    values_.assign(sorted.begin(), sorted.end());
    for (size_t i = 0; i < weights.size(); ++i) {
      index_[i] =
          static_cast<uint32_t>(std::ranges::lower_bound(sorted, weights[i]) - sorted.begin());
    }
  } else {
    values_.assign(weights.begin(), weights.end());
    std::iota(index_.begin(), index_.end(), uint32_t{0});
  }
  counts_.resize(values_.size());
  for (const uint32_t i : index_) counts_[i] += 1;
  centers_.emplace_back(centroids.begin(), centroids.end());
  share();
  const uint64_t k = centroids.size();
  for (int round = 0; round < options.rounds; ++round) {
    const std::vector<float>& a = shares_.back();
    Numbers sums(k), masses(k), next = centers_.back();
    for (uint64_t u = 0; u < values_.size(); ++u) {
      for (uint64_t j = 0; j < k; ++j) {
        masses[j] += counts_[u] * a[u * k + j];
        sums[j] += counts_[u] * a[u * k + j] * values_[u];
      }
    }
    double moved = 0;
    for (uint64_t j = 0; j < k; ++j) {
      if (masses[j] > 0) next[j] = sums[j] / masses[j];
      moved = std::max(moved, std::fabs(next[j] - centers_.back()[j]));
    }
    const auto [low, high] = std::ranges::minmax(next);
    centers_.push_back(std::move(next));
    share();
    if (moved <= options.enough * (high - low)) break;
  }
}

void SoftClusters::share() {
  const Numbers& c = centers_.back();
  const uint64_t k = c.size();
  std::vector<float> shares(values_.size() * k);
  Numbers own(k);
  for (uint64_t u = 0; u < values_.size(); ++u) {
    double least = INFINITY;
    for (uint64_t j = 0; j < k; ++j) {
      own[j] = (values_[u] - c[j]) * (values_[u] - c[j]) / options_.temperature;
      least = std::min(least, own[j]);
    }
    double sum = 0;
    for (double& v : own) sum += v = std::exp(least - v);
    for (uint64_t j = 0; j < k; ++j) shares[u * k + j] = static_cast<float>(own[j] / sum);
  }
  shares_.push_back(std::move(shares));
}

std::vector<float> SoftClusters::values() const {
  const Numbers& c = centers_.back();
  const uint64_t k = c.size();
  std::vector<float> stands(values_.size());
  for (uint64_t u = 0; u < values_.size(); ++u) {
    double sum = 0;
    for (uint64_t j = 0; j < k; ++j) sum += shares_.back()[u * k + j] * c[j];
    stands[u] = static_cast<float>(sum);
  }
  std::vector<float> out;
  out.reserve(index_.size());
  for (const uint32_t i : index_) out.push_back(stands[i]);
  return out;
}

std::vector<uint16_t> SoftClusters::codes() const {
  const uint64_t k = centers_.back().size();
  std::vector<uint16_t> of_value(values_.size());
  for (uint64_t u = 0; u < values_.size(); ++u) {
    const auto row = std::span(shares_.back()).subspan(u * k, k);
    of_value[u] = static_cast<uint16_t>(std::ranges::max_element(row) - row.begin());
  }
  std::vector<uint16_t> out;
  out.reserve(index_.size());
  for (const uint32_t i : index_) out.push_back(of_value[i]);
  return out;
}

// With d_uj = -(u - c_j)² / t the logits, the shares' Jacobian is a_ul (δ_lj - a_uj). A weight's
// own derivative is that of its value times its own gradient, and what comes through centroids is
// the same for all weights of a value.
std::vector<float> SoftClusters::gradient(std::span<const float> of_values) const {
  if (of_values.size() != index_.size()) {
    fail(ErrorKind::kUsage, "soft clusters: {} gradients of {} weights", of_values.size(),
         index_.size());
  }
  const uint64_t n = values_.size(), k = centers_.back().size();
  const double slope = 2 / options_.temperature;
  Numbers totals(n), direct(n), shared(n), to_centers(k);
  for (size_t i = 0; i < index_.size(); ++i) totals[index_[i]] += of_values[i];
  {
    const Numbers& c = centers_.back();
    for (uint64_t u = 0; u < n; ++u) {
      const float* a = shares_.back().data() + u * k;
      double mean = 0, square = 0;
      for (uint64_t j = 0; j < k; ++j) mean += a[j] * c[j];
      for (uint64_t j = 0; j < k; ++j) {
        square += a[j] * (c[j] - mean) * (c[j] - mean);
        to_centers[j] += totals[u] * a[j] * (1 + slope * (values_[u] - c[j]) * (c[j] - mean));
      }
      direct[u] = slope * square;
    }
  }
  for (size_t round = centers_.size() - 1; round-- > 0;) {
    const Numbers &c = centers_[round], &next = centers_[round + 1];
    const std::vector<float>& shares = shares_[round];
    Numbers masses(k), before(k), of_mass(k), own(k);
    for (uint64_t u = 0; u < n; ++u) {
      for (uint64_t j = 0; j < k; ++j) masses[j] += counts_[u] * shares[u * k + j];
    }
    for (uint64_t j = 0; j < k; ++j) {
      of_mass[j] = masses[j] > 0 ? to_centers[j] / masses[j] : 0;
      if (!(masses[j] > 0)) before[j] = to_centers[j];  // it stayed
    }
    for (uint64_t u = 0; u < n; ++u) {
      const float* a = shares.data() + u * k;
      double mean = 0;
      for (uint64_t j = 0; j < k; ++j) {
        own[j] = (values_[u] - next[j]) * of_mass[j];
        mean += a[j] * own[j];
        shared[u] += a[j] * of_mass[j];
      }
      for (uint64_t j = 0; j < k; ++j) {
        const double q = a[j] * (own[j] - mean) * slope * (values_[u] - c[j]);
        shared[u] -= q;
        before[j] += counts_[u] * q;
      }
    }
    to_centers = std::move(before);
  }
  std::vector<float> out(index_.size());
  for (size_t i = 0; i < out.size(); ++i) {
    const uint32_t u = index_[i];
    out[i] = static_cast<float>(of_values[i] * direct[u] + shared[u]);
  }
  return out;
}

uint64_t SoftClusters::saved_bytes(uint64_t workers) const {
  uint64_t bytes = 0;
  for (const auto& shares : shares_) bytes += sizeof(float) * shares.size();
  if (!options_.unique) return bytes;
  const uint64_t width = values_.size() <= 65536 ? 2 : 4;
  return bytes + (width * index_.size() + workers - 1) / std::max<uint64_t>(workers, 1);
}

}  // namespace pith::fit
