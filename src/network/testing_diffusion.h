// The small diffusion of data/networks that draws what words ask for, and how well it does: how far
// its drawings are from true ones by statistics of their features, and how often a judge sees in
// them what was asked for. Test-only.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "pith/fit/masks.h"
#include "pith/io/onnx.h"
#include "pith/math/eigen.h"
#include "pith/math/matrix_product.h"
#include "pith/network/curvature.h"
#include "pith/network/fitted_layers.h"
#include "testing_drawings.h"

namespace pith::network::testing {

inline float normal(uint64_t seed, uint64_t n) {
  const double u = 1 - random_unit(seed, 2 * n), v = random_unit(seed, 2 * n + 1);
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

inline double kept_at(double time) { return std::cos(0.49 * std::numbers::pi * time); }

// What tools/train_diffusion.py makes of a time, for each row.
inline Tensor time_features(double time, uint64_t rows) {
  std::vector<float> one = {1, static_cast<float>(time)}, all;
  for (const int k : {1, 2, 4}) {
    one.push_back(static_cast<float>(std::sin(std::numbers::pi * k * time)));
    one.push_back(static_cast<float>(std::cos(std::numbers::pi * k * time)));
  }
  for (uint64_t r = 0; r < rows; ++r) all.insert(all.end(), one.begin(), one.end());
  return {{rows, one.size()}, std::move(all)};
}

// Mean and covariance of rows.
struct Statistics {
  std::vector<double> mean;
  std::vector<double> covariance;

  explicit Statistics(const Tensor& features) : mean(features.dim(1)) {
    const uint64_t n = features.dim(0), width = features.dim(1);
    covariance.resize(width * width);
    const auto x = features.floats();
    for (uint64_t i = 0; i < x.size(); ++i) mean[i % width] += x[i] / static_cast<double>(n);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t i = 0; i < width; ++i) {
        for (uint64_t j = 0; j < width; ++j) {
          covariance[i * width + j] +=
              (x[r * width + i] - mean[i]) * (x[r * width + j] - mean[j]) / static_cast<double>(n);
        }
      }
    }
  }
};

// The power 0.5 of a symmetric matrix without negative axes.
inline std::vector<double> root(const std::vector<double>& a, uint64_t n) {
  const std::vector<float> narrow(a.begin(), a.end());
  const math::SymmetricEigen axes = math::symmetric_eigen(narrow.data(), n);
  std::vector<double> out(n * n);
  for (uint64_t k = 0; k < n; ++k) {
    const double r = std::sqrt(std::max(0.0F, axes.values[k]));
    for (uint64_t i = 0; i < n * n; ++i) {
      out[i] += r * axes.vectors[k * n + i / n] * axes.vectors[k * n + i % n];
    }
  }
  return out;
}

inline std::vector<double> times(const std::vector<double>& a, const std::vector<double>& b,
                                 uint64_t n) {
  std::vector<double> c(n * n);
  math::matrix_product(math::row_major(a.data(), n, n), math::row_major(b.data(), n, n), c.data(),
                       n);
  return c;
}

// Fréchet's distance of two normal clouds, squared (Heusel et al. 2017).
inline double distance(const Statistics& a, const Statistics& b) {
  const uint64_t n = a.mean.size();
  double sum = 0;
  for (uint64_t i = 0; i < n; ++i) sum += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]);
  const std::vector<double> half = root(a.covariance, n);
  const std::vector<double> both = root(times(times(half, b.covariance, n), half, n), n);
  for (uint64_t i = 0; i < n; ++i) {
    sum += a.covariance[i * n + i] + b.covariance[i * n + i] - 2 * both[i * n + i];
  }
  return sum;
}

class Diffusion {
 public:
  Diffusion(const std::filesystem::path& folder, uint64_t samples)
      : words(read(folder / "words.onnx")),
        denoiser(read(folder / "denoiser.onnx")),
        judge_(read(folder / "judge.onnx")),
        asked_(draw_drawings(1 << 20, samples)),
        true_(judge_.run({draw_drawings(1 << 21, 2000).pixels})[0]) {
    // Noise of all sizes on drawings that were trained with.
    const Drawings drawings = draw_drawings(0, 256);
    words_seen_ = input_moments(words, {drawings.words});
    std::vector<float> noisy, time;
    for (uint64_t i = 0; i < drawings.pixels.size(); ++i) {
      const double kept = kept_at(static_cast<double>(i / kPixels) / 256);
      noisy.push_back(static_cast<float>(kept * drawings.pixels.floats()[i] +
                                         std::sqrt(1 - kept * kept) * normal(7, i)));
    }
    for (uint64_t r = 0; r < 256; ++r) {
      const Tensor one = time_features(static_cast<double>(r) / 256, 1);
      time.insert(time.end(), one.floats().begin(), one.floats().end());
    }
    denoiser_seen_ = input_moments(
        denoiser, {Tensor({256, kPixels}, std::move(noisy)), Tensor({256, 8}, std::move(time)),
                   words.run({drawings.words})[0]});
  }

  // Without this share of each layer's weights.
  Network pruned_words(double removed, fit::Score by) const {
    return pruned(words, words_seen_, removed, by);
  }
  Network pruned_denoiser(double removed, fit::Score by) const {
    return pruned(denoiser, denoiser_seen_, removed, by);
  }

  struct Quality {
    double distance = 0;  // of features, from true drawings
    double asked = 0;     // share of drawings that the judge takes for what was asked for
  };
  // Of drawings from this seed, by an encoder and a denoiser, in 12 steps (DDIM, Song et al. 2021).
  Quality quality(const Network& encoder, const Network& painter, uint64_t seed) const {
    constexpr int kSteps = 12;
    const uint64_t n = asked_.classes.size();
    const Tensor code = encoder.run({asked_.words})[0];
    std::vector<float> x(n * kPixels);
    for (size_t i = 0; i < x.size(); ++i) x[i] = normal(seed, i);
    for (int step = 0; step < kSteps; ++step) {
      const double time = 1 - static_cast<double>(step) / kSteps;
      const double now = kept_at(time), then = kept_at(time - 1.0 / kSteps);
      const double noise_now = std::sqrt(1 - now * now),
                   noise_then = std::sqrt(std::max(0.0, 1 - then * then));
      const Tensor made =
          painter.run({Tensor({n, kPixels}, x), time_features(time, n), code}, {.threads = 2})[0];
      for (size_t i = 0; i < x.size(); ++i) {
        const double data =
            std::clamp((x[i] - noise_now * made.floats()[i]) / now, -1.2, 1.2);  // as drawings are
        x[i] = static_cast<float>(then * data + noise_then * (x[i] - now * data) / noise_now);
      }
    }
    const std::vector<Tensor> judged = judge_.run({Tensor({n, kPixels}, std::move(x))});
    return {testing::distance(Statistics(judged[0]), true_), accuracy(judged[1], asked_.classes)};
  }

  Network words, denoiser;

 private:
  static Network read(const std::filesystem::path& path) {
    return Network(graph_of(io::read_onnx_graph(path)));
  }
  static Network pruned(const Network& net, const std::vector<fit::Metric>& seen, double removed,
                        fit::Score by) {
    if (removed <= 0) return net;
    const form::Expression e =
        form::parse(fmt::format("sparse({}%, values=dense(f32))", 100 * (1 - removed)));
    return decoded_layers(with_fitted_layers(net, seen, fit::mask_fitter(e, by)));
  }

  Network judge_;
  Drawings asked_;
  Statistics true_;
  std::vector<fit::Metric> words_seen_, denoiser_seen_;
};

}  // namespace pith::network::testing
