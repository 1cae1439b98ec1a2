#include "gradient_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "../base/testing_targets.h"
#include "decoder_kernels.h"

namespace pith::model {
namespace {

std::vector<float> noise(size_t n, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

using Doubles = std::vector<double>;

// The gradient of sum of dy * f(x), by central differences.
Doubles differences(const std::vector<float>& x, const std::vector<float>& dy,
                    const std::function<Doubles(const Doubles&)>& f) {
  constexpr double kStep = 1e-5;
  Doubles at(x.begin(), x.end()), gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double middle = at[i];
    for (const double side : {1.0, -1.0}) {
      at[i] = middle + side * kStep;
      const Doubles y = f(at);
      for (size_t k = 0; k < y.size(); ++k) gradient[i] += side * dy[k] * y[k] / (2 * kStep);
    }
    at[i] = middle;
  }
  return gradient;
}

void expect_near(const std::vector<float>& got, const Doubles& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-5) << i;
}

constexpr size_t kLengths[] = {0, 1, 2, 15, 16, 17, 100};

TEST(GradientKernels, RmsNorm) {
  for (const size_t n : kLengths) {
    const auto x = noise(n, 1, 3), w = noise(n, 2), dy = noise(n, 3);
    const Doubles wanted = differences(x, dy, [&](const Doubles& at) {
      double squares = 0;
      for (const double v : at) squares += v * v;
      Doubles y(n);
      for (size_t i = 0; i < n; ++i) {
        y[i] = at[i] * w[i] / std::sqrt(squares / static_cast<double>(n) + 0.01);
      }
      return y;
    });
    std::vector<float> got = dy;
    rms_norm_gradient(x.data(), w.data(), got.data(), n, 0.01F, got.data());
    expect_near(got, wanted);
  }
}

TEST(GradientKernels, SiluTimes) {
  for_each_target([] {
    for (const size_t n : kLengths) {
      auto gate = noise(n, 4, 4), up = noise(n, 5);
      const auto dy = noise(n, 6), plain_gate = gate, plain_up = up;
      const auto with = [&](const auto& g, const auto& u) {
        Doubles y(n);
        for (size_t i = 0; i < n; ++i) y[i] = g[i] / (1 + std::exp(-double{g[i]})) * u[i];
        return y;
      };
      silu_times_gradient(dy.data(), n, gate.data(), up.data());
      expect_near(
          gate, differences(plain_gate, dy, [&](const Doubles& at) { return with(at, plain_up); }));
      expect_near(
          up, differences(plain_up, dy, [&](const Doubles& at) { return with(plain_gate, at); }));
    }
  });
  std::vector<float> gate = {1e4F, -1e4F, 100, -100}, up = {2, 2, 2, 2};
  const std::vector<float> ones(4, 1);
  silu_times_gradient(ones.data(), 4, gate.data(), up.data());
  expect_near(gate, {2, 0, 2, 0});
}

TEST(GradientKernels, Softmax) {
  for (const size_t n : kLengths) {
    auto p = noise(n, 7, 2);
    const auto x = p;
    auto d = noise(n, 8);
    const Doubles wanted = differences(x, d, [&](Doubles at) {
      double sum = 0;
      for (double& v : at) sum += v = std::exp(v);
      for (double& v : at) v /= sum;
      return at;
    });
    softmax(n, p.data());
    softmax_gradient(p.data(), n, d.data());
    expect_near(d, wanted);
  }
}

TEST(GradientKernels, DotIsThatOfDoubles) {
  for (const size_t n : kLengths) {
    const auto a = noise(n, 9), b = noise(n, 10);
    double wanted = 0;
    for (size_t i = 0; i < n; ++i) wanted += double{a[i]} * b[i];
    EXPECT_NEAR(dot(a.data(), b.data(), n), wanted, 1e-13 * static_cast<double>(n));
  }
}

}  // namespace
}  // namespace pith::model
