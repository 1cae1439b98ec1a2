#include "pith/math/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "nearest.h"
#include "pith/base/parallel.h"

namespace pith::math {
namespace {

// Points that a thread takes at a time.
constexpr uint64_t kBlock = 4096;
// Beyond so many centroids seeds are drawn at random: k-means++ looks at all points for each.
constexpr uint64_t kMostCareful = 1024;

class Lloyd {
 public:
  Lloyd(std::span<const float> points, uint64_t dim, std::span<const float> weights, uint64_t k,
        const KMeansOptions& options)
      : points_(points),
        weights_(weights),
        n_(points.size() / dim),
        dim_(dim),
        k_(k),
        options_(options),
        random_(options.seed),
        centroids_(k * dim),
        codes_(n_) {}

  std::vector<float> run() {
    if (n_ == 0) return centroids_;
    seed();
    double before = std::numeric_limits<double>::infinity();
    for (int round = 0; round < options_.rounds; ++round) {
      NearestCentroid(centroids_, dim_)(points_, codes_.data(), options_.threads);
      const double error = move();
      if (!(error < before * 0.9995)) break;
      before = error;
    }
    return centroids_;
  }

 private:
  const float* point(uint64_t i) const { return points_.data() + i * dim_; }
  float* centroid(uint64_t c) { return centroids_.data() + c * dim_; }
  double weight(uint64_t i) const { return weights_.empty() ? 1.0 : weights_[i]; }

  // In [0, 1), from bits alone: the standard library's distributions are not the same everywhere.
  double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

  static double distance(const float* a, const float* b, uint64_t dim) {
    double sum = 0;
    for (uint64_t d = 0; d < dim; ++d) {
      const double difference = double{a[d]} - b[d];
      sum += difference * difference;
    }
    return sum;
  }

  void seed() {
    const auto any = [&] {
      return std::min(n_ - 1, static_cast<uint64_t>(uniform() * static_cast<double>(n_)));
    };
    if (k_ > kMostCareful || k_ >= n_) {
      for (uint64_t c = 0; c < k_; ++c)
        std::copy_n(point(k_ >= n_ ? c % n_ : any()), dim_, centroid(c));
      return;
    }
    std::copy_n(point(any()), dim_, centroid(0));
    std::vector<double> mass(n_, std::numeric_limits<double>::infinity());
    for (uint64_t c = 1; c < k_; ++c) {
      double total = 0;
      for (uint64_t i = 0; i < n_; ++i) {
        mass[i] = std::min(mass[i], weight(i) * distance(point(i), centroid(c - 1), dim_));
        total += mass[i];
      }
      double left = uniform() * total;
      uint64_t chosen = 0;
      while (chosen + 1 < n_ && (left -= mass[chosen]) >= 0) ++chosen;
      std::copy_n(point(total > 0 ? chosen : any()), dim_, centroid(c));
    }
  }

  // Moves each centroid to the mean of its points; returns the error before that. Sums are made in
  // the order of the points, whatever the threads did.
  double move() {
    std::vector<double> sums(k_ * dim_), masses(k_);
    std::vector<float> errors(n_);
    double error = 0;
    for (uint64_t i = 0; i < n_; ++i) {
      const double w = weight(i);
      const uint64_t c = codes_[i];
      masses[c] += w;
      for (uint64_t d = 0; d < dim_; ++d) sums[c * dim_ + d] += w * point(i)[d];
      const double e = w * distance(point(i), centroid(c), dim_);
      errors[i] = static_cast<float>(e);
      error += e;
    }
    for (uint64_t c = 0; c < k_; ++c) {
      if (masses[c] > 0) {
        for (uint64_t d = 0; d < dim_; ++d)
          centroid(c)[d] = static_cast<float>(sums[c * dim_ + d] / masses[c]);
      }
    }
    fill_empty(masses, errors);
    return error;
  }

  // Centroids without points go to the points that are worst represented.
  void fill_empty(const std::vector<double>& masses, const std::vector<float>& errors) {
    std::vector<uint64_t> empty;
    for (uint64_t c = 0; c < k_; ++c) {
      if (!(masses[c] > 0)) empty.push_back(c);
    }
    if (empty.empty()) return;
    std::vector<uint64_t> worst(n_);
    for (uint64_t i = 0; i < n_; ++i) worst[i] = i;
    const uint64_t some = std::min<uint64_t>(empty.size(), n_);
    std::ranges::partial_sort(worst, worst.begin() + static_cast<int64_t>(some),
                              [&](uint64_t a, uint64_t b) {
                                return errors[a] != errors[b] ? errors[a] > errors[b] : a < b;
                              });
    for (uint64_t i = 0; i < some && errors[worst[i]] > 0; ++i)
      std::copy_n(point(worst[i]), dim_, centroid(empty[i]));
  }

  std::span<const float> points_, weights_;
  uint64_t n_, dim_, k_;
  KMeansOptions options_;
  std::mt19937_64 random_;
  std::vector<float> centroids_;
  std::vector<uint32_t> codes_;
};

}  // namespace

std::vector<float> kmeans(std::span<const float> points, uint64_t dim,
                          std::span<const float> weights, uint64_t k,
                          const KMeansOptions& options) {
  return Lloyd(points, dim, weights, k, options).run();
}

NearestCentroid::NearestCentroid(std::span<const float> centroids, uint64_t dim)
    : dim_(dim),
      padded_((centroids.size() / dim + kCentroidPad - 1) / kCentroidPad * kCentroidPad) {
  const uint64_t k = centroids.size() / dim;
  columns_.resize(dim_ * padded_);
  halves_.assign(padded_, std::numeric_limits<float>::infinity());
  for (uint64_t c = 0; c < k; ++c) {
    double square = 0;
    for (uint64_t d = 0; d < dim_; ++d) {
      const float v = centroids[c * dim_ + d];
      columns_[d * padded_ + c] = v;
      square += double{v} * v;
    }
    halves_[c] = static_cast<float>(square / 2);
  }
}

void NearestCentroid::operator()(std::span<const float> points, uint32_t* codes,
                                 int threads) const {
  const uint64_t n = points.size() / dim_;
  const CentroidColumns columns{columns_.data(), halves_.data(), dim_, padded_};
  const auto block = [&](size_t i) {
    const uint64_t first = i * kBlock, count = std::min(kBlock, n - first);
    nearest_centroids(columns, points.data() + first * dim_, count, codes + first);
  };
  const uint64_t blocks = (n + kBlock - 1) / kBlock;
  if (threads == 1 || blocks < 2) {
    for (size_t i = 0; i < blocks; ++i) block(i);
  } else {
    parallel_for(threads, blocks, block);
  }
}

}  // namespace pith::math
