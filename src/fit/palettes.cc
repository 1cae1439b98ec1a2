#include "pith/fit/palettes.h"

#include <algorithm>
#include <cmath>

#include "entry_refit.h"
#include "pith/base/error.h"
#include "pith/base/half.h"
#include "pith/base/parallel.h"
#include "pith/fit/soft_clusters.h"
#include "pith/form/compose.h"
#include "pith/form/vector_fit.h"
#include "pith/math/kmeans.h"
#include "pith/math/threshold_clusters.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::FormPtr;
using form::MatrixView;

constexpr uint64_t kMostClusters = 4096;

std::span<const float> elements(MatrixView m) { return {m.data, m.shape.size()}; }

// Every element as the nearest entry.
FormPtr palette_of(MatrixView matrix, std::span<const float> entries) {
  std::vector<uint32_t> nearest(matrix.shape.size());
  math::NearestCentroid(entries, 1)(elements(matrix), nearest.data());
  const std::vector<uint16_t> codes(nearest.begin(), nearest.end());
  return form::codebook_of(matrix.shape, 1, entries, codes);
}

class Training {
 public:
  Training(const Task& task, const SoftPaletteOptions& options)
      : task_(task),
        options_(options),
        threads_(thread_count(task.threads)),
        weights_(elements(task.weights)),
        latent_(weights_.begin(), weights_.end()),
        mean_(weights_.size()),
        square_(weights_.size()) {
    const uint64_t n = task.weights.shape.cols;
    const DampedMoments moments = damped_moments(task.inputs, n, options.damping);
    curvature_.n = n;
    curvature_.matrix.assign(moments.matrix.begin(), moments.matrix.end());
    for (uint64_t c = 0; c < n; ++c) curvature_.diagonal.push_back(curvature_.matrix[c * n + c]);
    std::vector<float> importance;
    for (uint64_t i = 0; i < weights_.size(); ++i) {
      importance.push_back(curvature_.diagonal[i % n] * row_weight(i / n));
    }
    plain_ = math::kmeans_1d(weights_, {}, options.entries);
    const auto weighed = math::kmeans_1d(weights_, importance, options.entries);
    centers_.assign(weighed.begin(), weighed.end());
  }

  Fitted run() {
    Fitted best = measured(task_, palette_of(task_.weights, plain_));
    const double gap = (centers_.back() - centers_.front()) / static_cast<double>(options_.entries);
    if (!(gap > 0)) return best;
    best = better(std::move(best), measured(task_, hardened()));
    for (int step = 1; step <= options_.steps; ++step) train(step, gap);
    if (options_.steps > 0) best = better(std::move(best), measured(task_, hardened()));
    return best;
  }

 private:
  float row_weight(uint64_t r) const {
    if (task_.outputs.empty()) return 1;
    if (most_ == 0) most_ = *std::ranges::max_element(task_.outputs);
    return most_ > 0 ? static_cast<float>(task_.outputs[r] / most_) : 1;
  }

  // Weights of 16 bits, so that few are different.
  std::vector<float> rounded() const {
    std::vector<float> out(latent_.size());
    std::ranges::transform(latent_, out.begin(),
                           [](float v) { return float_from_bf16(bf16_from_float(v)); });
    return out;
  }

  void train(int step, double gap) {
    const SoftClusters soft(rounded(), centers_,
                            {.temperature = options_.temperature * gap * gap, .rounds = 3});
    centers_.assign(soft.centroids().begin(), soft.centroids().end());
    const uint64_t n = curvature_.n, rows = task_.weights.shape.rows;
    std::vector<float> left = soft.values(), slope(left.size());
    for (uint64_t i = 0; i < left.size(); ++i) left[i] -= weights_[i];
    curvature_.multiply(left.data(), rows, slope.data(), threads_);
    for (uint64_t i = 0; i < slope.size(); ++i) slope[i] *= row_weight(i / n);
    const std::vector<float> gradient = soft.gradient(slope);
    const auto b1 = 0.9f, b2 = 0.99f;
    // Steps get shorter to the end.
    const double along = static_cast<double>(step - 1) / options_.steps;
    const auto rate =
        static_cast<float>(options_.rate * gap * (1 - along) * std::sqrt(1 - std::pow(b2, step)) /
                           (1 - std::pow(b1, step)));
    for (uint64_t i = 0; i < latent_.size(); ++i) {
      mean_[i] = b1 * mean_[i] + (1 - b1) * gradient[i];
      square_[i] = b2 * square_[i] + (1 - b2) * gradient[i] * gradient[i];
      if (square_[i] > 0) latent_[i] -= rate * mean_[i] / std::sqrt(square_[i]);
    }
  }

  FormPtr hardened() const {
    const std::vector<float> now = rounded(), entries(centers_.begin(), centers_.end());
    form::VectorFit fit(palette_of({now.data(), task_.weights.shape}, entries));
    refit_entries(curvature_, task_.weights, task_.outputs, threads_, fit);
    return fit.form();
  }

  const Task& task_;
  SoftPaletteOptions options_;
  int threads_;
  std::span<const float> weights_;
  std::vector<float> latent_, mean_, square_;  // and Adam's moments of the gradient
  Curvature curvature_;
  std::vector<float> plain_;
  std::vector<double> centers_;
  mutable double most_ = 0;
};

}  // namespace

Fitter soft_palette_fitter(const SoftPaletteOptions& options) {
  if (options.entries < 2 || options.entries > 256 || options.steps < 0 || !(options.rate > 0) ||
      !(options.temperature > 0)) {
    fail(ErrorKind::kUsage, "a palette of {} entries in {} steps of {} at temperature {}",
         options.entries, options.steps, options.rate, options.temperature);
  }
  return [=](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    if (task.weights.shape.size() == 0) {
      return measured(task, form::encode(form::parse(fmt::format("codebook({})", options.entries)),
                                         task.weights));
    }
    return Training(task, options).run();
  };
}

Fitter threshold_palette_fitter(double distance) {
  if (!(distance > 0)) fail(ErrorKind::kUsage, "clusters within a distance of {}", distance);
  return [=](const Task& task) {
    require_finite(task);
    double squares = 0;
    for (const float v : elements(task.weights)) squares += double{v} * v;
    const double root = std::sqrt(squares / static_cast<double>(task.weights.shape.size()));
    std::vector<float> entries;
    if (root > 0) {
      entries = math::threshold_clusters(elements(task.weights), distance * root,
                                         {.most = kMostClusters});
    }
    while (entries.size() < 2) entries.push_back(0);
    return measured(task, palette_of(task.weights, entries));
  };
}

}  // namespace pith::fit
