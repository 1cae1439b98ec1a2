// A small convolutional network for tests that train: two convolutions of 3 x 3 that each halve the
// picture, and a linear layer, on drawings of 16 classes in noise. Test-only.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "../network/testing_drawings.h"
#include "pith/math/matrix_product.h"
#include "testing_lm.h"

namespace pith::recipe::testing {

// Drawings of these numbers, drowned in noise so that not all can be told.
inline network::testing::Drawings noisy_drawings(uint64_t first, uint64_t count) {
  network::testing::Drawings out = network::testing::draw_drawings(first, count);
  std::vector<float> pixels(out.pixels.floats().begin(), out.pixels.floats().end());
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] += static_cast<float>(3 * random_unit(2, (first << 6) + i) - 1.5);
  }
  out.pixels = network::Tensor({count, network::testing::kPixels}, std::move(pixels));
  return out;
}

class TinyCnn {
 public:
  using Images = network::testing::Drawings;

  explicit TinyCnn(uint32_t seed) {
    std::mt19937 random(seed);
    for (size_t l = 0; l < kLayers; ++l) {
      const size_t in = inputs(l);
      const double scale = std::sqrt(2 / static_cast<double>(in));
      parameters.emplace_back(l + 1 < kLayers ? "convolution" : "classes", outputs(l), in, scale,
                              random);
      parameters.emplace_back("bias", 1, outputs(l), 0, random);
    }
  }

  struct Result {
    double loss = 0, right = 0;  // means
  };
  // With `learn`, adds the gradient of the mean loss.
  Result run(const Images& images, bool learn) {
    const size_t n = images.classes.size();
    values_.assign(1, {images.pixels.floats().begin(), images.pixels.floats().end()});
    patches_.clear();
    for (size_t l = 0; l < kLayers; ++l) {
      patches_.push_back(l + 1 < kLayers ? patches_of(values_[l], n, l) : values_[l]);
      values_.push_back(product(l));
      if (l + 1 == kLayers) break;
      for (float& x : values_.back()) x = std::max(x, 0.0f);
    }
    std::vector<float>& logits = values_.back();
    Result mean;
    for (size_t i = 0; i < n; ++i) {
      float* p = &logits[i * kClasses];
      const auto asked = static_cast<size_t>(images.classes[i]);
      mean.right += std::max_element(p, p + kClasses) == p + asked;
      const float top = *std::max_element(p, p + kClasses);
      float sum = 0;
      for (size_t k = 0; k < kClasses; ++k) sum += p[k] = std::exp(p[k] - top);
      mean.loss -= std::log(p[asked] / sum);
      for (size_t k = 0; k < kClasses; ++k) {  // to the gradient
        p[k] = (p[k] / sum - (k == asked ? 1 : 0)) / static_cast<float>(n);
      }
    }
    if (learn) backward(n);
    return {mean.loss / static_cast<double>(n), mean.right / static_cast<double>(n)};
  }

  // Layer by layer a matrix of outputs x inputs and its biases. Inputs of a convolution: the
  // channels of each of nine places, of the last layer those of each of four.
  std::vector<Parameter<float>> parameters;
  int steps = 0;

 private:
  static constexpr size_t kLayers = 3, kClasses = network::testing::kDrawingClasses;
  static constexpr size_t kChannels[] = {1, 12, 24}, kSides[] = {8, 4, 2};
  static size_t inputs(size_t l) { return (l + 1 < kLayers ? 9 : 4) * kChannels[l]; }
  static size_t outputs(size_t l) { return l + 1 < kLayers ? kChannels[l + 1] : kClasses; }

  // Calls f(patch's first number, picture's first number) for each place that lies in the picture.
  template <class F>
  static void each_place(size_t n, size_t l, const F& f) {
    const size_t side = kSides[l], half = kSides[l + 1], c = kChannels[l];
    for (size_t p = 0; p < n * half * half; ++p) {
      const size_t image = p / (half * half), y = 2 * (p / half % half), x = 2 * (p % half);
      for (size_t k = 0; k < 9; ++k) {
        const size_t row = y + k / 3, col = x + k % 3;  // one further than in the picture
        if (row < 1 || row > side || col < 1 || col > side) continue;
        f((p * 9 + k) * c, ((image * side + row - 1) * side + col - 1) * c);
      }
    }
  }
  static std::vector<float> patches_of(const std::vector<float>& picture, size_t n, size_t l) {
    const size_t c = kChannels[l];
    std::vector<float> out(n * kSides[l + 1] * kSides[l + 1] * 9 * c);
    each_place(n, l, [&](size_t to, size_t from) { std::copy_n(&picture[from], c, &out[to]); });
    return out;
  }

  std::vector<float> product(size_t l) const {
    const Parameter<float>&w = parameters[2 * l], &bias = parameters[2 * l + 1];
    const size_t rows = patches_[l].size() / w.cols;
    std::vector<float> out;
    for (size_t r = 0; r < rows; ++r) out.insert(out.end(), bias.w.begin(), bias.w.end());
    math::matrix_product(math::row_major(patches_[l].data(), rows, w.cols),
                         math::row_major(w.w.data(), w.rows, w.cols).transposed(), out.data(),
                         w.rows, math::ProductInto::kAdd);
    return out;
  }

  void backward(size_t n) {
    std::vector<float> d = values_.back();
    for (size_t l = kLayers; l-- > 0;) {
      Parameter<float>&w = parameters[2 * l], &bias = parameters[2 * l + 1];
      const size_t rows = d.size() / w.rows;
      for (size_t i = 0; i < d.size(); ++i) bias.gradient[i % w.rows] += d[i];
      const auto of_outputs = math::row_major(d.data(), rows, w.rows);
      math::matrix_product(of_outputs.transposed(),
                           math::row_major(patches_[l].data(), rows, w.cols), w.gradient.data(),
                           w.cols, math::ProductInto::kAdd);
      if (l == 0) break;
      std::vector<float> of_patches(rows * w.cols);
      math::matrix_product(of_outputs, math::row_major(w.w.data(), w.rows, w.cols),
                           of_patches.data(), w.cols);
      if (l + 1 < kLayers) {
        std::vector<float> of_picture(values_[l].size());
        const size_t c = kChannels[l];
        each_place(n, l, [&](size_t from, size_t to) {
          for (size_t k = 0; k < c; ++k) of_picture[to + k] += of_patches[from + k];
        });
        of_patches = std::move(of_picture);
      }
      for (size_t i = 0; i < of_patches.size(); ++i) {
        if (values_[l][i] <= 0) of_patches[i] = 0;
      }
      d = std::move(of_patches);
    }
  }

  std::vector<std::vector<float>> patches_, values_;
};

}  // namespace pith::recipe::testing
