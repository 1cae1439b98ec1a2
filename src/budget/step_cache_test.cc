// Steps of a sampler that reuse features of earlier ones: which steps are computed is a partition,
// and channels that stand in for others are corrected (CacheQuant, Liu et al. 2025). The process is
// as small as can be: a diffusion of eight dimensions whose denoiser is known, and a network of
// random features whose last layer is fitted to that.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "pith/base/random.h"
#include "pith/budget/partition.h"
#include "pith/fit/channel_affine.h"
#include "pith/form/compose.h"
#include "pith/form/form.h"
#include "pith/math/cholesky.h"
#include "pith/math/matrix_product.h"

namespace pith::budget {
namespace {

using fit::ChannelAffine;
using form::Matrix;

constexpr uint64_t kSize = 8, kShallow = 48, kDeep = 96;
constexpr size_t kSteps = 24, kGroups = 8;

Matrix noise(form::Shape shape, double size, uint64_t seed) {
  Matrix m(shape);
  for (size_t i = 0; i < m.values.size(); ++i) {
    m.values[i] = static_cast<float>(size * random_normal(seed, i));
  }
  return m;
}

// y = x wᵀ
Matrix product(const Matrix& x, const Matrix& w) {
  Matrix y({x.shape.rows, w.shape.rows});
  math::matrix_product(math::row_major(x.values.data(), x.shape.rows, x.shape.cols),
                       math::row_major(w.values.data(), w.shape.rows, w.shape.cols).transposed(),
                       y.values.data(), y.shape.cols);
  return y;
}

Matrix beside(const Matrix& a, const Matrix& b) {
  Matrix out({a.shape.rows, a.shape.cols + b.shape.cols});
  for (uint64_t r = 0; r < a.shape.rows; ++r) {
    std::ranges::copy(a.view().row(r), out.row(r).begin());
    std::ranges::copy(b.view().row(r), out.row(r).begin() + static_cast<ptrdiff_t>(a.shape.cols));
  }
  return out;
}

double squared(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i) {
    sum += (double{a.values[i]} - b.values[i]) * (double{a.values[i]} - b.values[i]);
  }
  return sum / static_cast<double>(a.shape.rows);
}

// Of a step: data times alpha plus noise times sigma.
double alpha(size_t step) {
  const double t = 1 - static_cast<double>(step) / static_cast<double>(kSteps);
  return std::cos(0.46 * M_PI * t);
}
double sigma(size_t step) { return std::sqrt(1 - alpha(step) * alpha(step)); }

constexpr size_t kCentres = 6;
constexpr double kSpread = 0.15;

const Matrix& centres() {
  static const Matrix made = noise({kCentres, kSize}, 1, 77);
  return made;
}

// The noise in x that is to be expected where data are six normal clouds.
Matrix true_noise(const Matrix& x, size_t step) {
  const double a = alpha(step), s = sigma(step), variance = a * a * kSpread * kSpread + s * s;
  Matrix out(x.shape);
  for (uint64_t r = 0; r < x.shape.rows; ++r) {
    std::array<double, kCentres> weight = {};
    double all = 0;
    for (size_t k = 0; k < kCentres; ++k) {
      double far = 0;
      for (uint64_t c = 0; c < kSize; ++c) {
        const double off = x.view().row(r)[c] - a * centres().view().row(k)[c];
        far += off * off;
      }
      all += weight[k] = std::exp(-far / (2 * variance)) + 1e-300;
    }
    for (uint64_t c = 0; c < kSize; ++c) {
      double data = 0;
      for (size_t k = 0; k < kCentres; ++k) {
        const double centre = centres().view().row(k)[c];
        data += weight[k] / all *
                (centre + a * kSpread * kSpread / variance * (x.view().row(r)[c] - a * centre));
      }
      out.row(r)[c] = static_cast<float>((x.view().row(r)[c] - a * data) / s);
    }
  }
  return out;
}

struct Network {
  Matrix shallow = noise({kShallow, kSize + 4}, 0.8, 1);
  Matrix middle = noise({kDeep, kShallow}, 0.35, 2), deep = noise({kDeep, kDeep}, 0.25, 3);
  Matrix last;  // kSize x (kShallow + kDeep + 1)
  bool rounded = false;

  // Activations of so many levels, where the network is rounded.
  void round(Matrix& values) const {
    if (!rounded) return;
    for (float& v : values.values) v = std::round(v * 31) / 31;
  }
  Matrix features(const Matrix& x, size_t step) const {
    Matrix time({x.shape.rows, 4});
    const double t = static_cast<double>(step) / static_cast<double>(kSteps);
    for (uint64_t r = 0; r < x.shape.rows; ++r) {
      time.row(r)[0] = 1;
      time.row(r)[1] = static_cast<float>(2 * t - 1);
      time.row(r)[2] = static_cast<float>(std::sin(3 * t));
      time.row(r)[3] = static_cast<float>(std::cos(3 * t));
    }
    Matrix h = product(beside(x, time), shallow);
    for (float& v : h.values) v = std::tanh(v);
    round(h);
    return h;
  }
  // What is kept from step to step.
  Matrix deep_features(const Matrix& h) const {
    Matrix g = product(h, middle);
    for (float& v : g.values) v = std::tanh(v);
    round(g);
    g = product(g, deep);
    for (float& v : g.values) v = std::tanh(v);
    round(g);
    return g;
  }
  Matrix output(const Matrix& h, const Matrix& g) const {
    Matrix one({h.shape.rows, 1});
    std::ranges::fill(one.values, 1.0F);
    return product(beside(beside(h, g), one), last);
  }
};

// The last layer by least squares over all steps.
void train(Network& net) {
  const uint64_t inputs = kShallow + kDeep + 1, rows = 192;
  std::vector<double> moments(inputs * inputs), cross(kSize * inputs);
  for (size_t step = 0; step < kSteps; ++step) {
    Matrix x = noise({rows, kSize}, sigma(step), 100 + step);
    const Matrix off = noise({rows, kSize}, kSpread, 200 + step);
    for (uint64_t r = 0; r < rows; ++r) {
      const auto centre = centres().view().row(r % kCentres);
      for (uint64_t c = 0; c < kSize; ++c) {
        x.row(r)[c] += static_cast<float>(alpha(step) * (centre[c] + off.view().row(r)[c]));
      }
    }
    const Matrix wanted = true_noise(x, step), h = net.features(x, step);
    const Matrix g = net.deep_features(h);
    for (uint64_t r = 0; r < rows; ++r) {
      std::vector<double> u(h.view().row(r).begin(), h.view().row(r).end());
      u.insert(u.end(), g.view().row(r).begin(), g.view().row(r).end());
      u.push_back(1);
      for (uint64_t i = 0; i < inputs; ++i) {
        for (uint64_t j = 0; j <= i; ++j) moments[i * inputs + j] += u[i] * u[j];
        for (uint64_t o = 0; o < kSize; ++o)
          cross[o * inputs + i] += wanted.view().row(r)[o] * u[i];
      }
    }
  }
  for (uint64_t i = 0; i < inputs; ++i) moments[i * inputs + i] += 0.01 * kSteps * rows / 100;
  ASSERT_TRUE(math::cholesky(moments.data(), inputs));
  std::vector<double> inverse(inputs * inputs);
  math::inverse_of_factored(moments.data(), inputs, inverse.data());
  net.last = Matrix({kSize, inputs});
  for (uint64_t o = 0; o < kSize; ++o) {
    for (uint64_t i = 0; i < inputs; ++i) {
      double v = 0;
      for (uint64_t j = 0; j < inputs; ++j) v += cross[o * inputs + j] * inverse[j * inputs + i];
      net.last.row(o)[i] = static_cast<float>(v);
    }
  }
}

// Weights of four bits, activations of six.
Network rounded(Network net) {
  for (Matrix* m : {&net.shallow, &net.middle, &net.deep, &net.last}) {
    *m = form::decode(*form::encode(form::parse("uniform(4, group=row)"), m->view()));
  }
  net.rounded = true;
  return net;
}

// x of the next step (DDIM, Song et al. 2021). Its noise is what is left of x beside the data.
void advance(Matrix& x, const Matrix& made, size_t step) {
  const double next = step + 1 < kSteps ? alpha(step + 1) : 1;
  const double next_noise = step + 1 < kSteps ? sigma(step + 1) : 0;
  for (size_t i = 0; i < x.values.size(); ++i) {
    // Data lie within that.
    const double data =
        std::clamp((x.values[i] - sigma(step) * made.values[i]) / alpha(step), -3.0, 3.0);
    const double left = (x.values[i] - alpha(step) * data) / sigma(step);
    x.values[i] = static_cast<float>(next * data + next_noise * left);
  }
}

struct Correction {
  std::optional<ChannelAffine> features, output;
};

// A sampler that computes deep features where groups begin.
struct Cached {
  const Network& net;
  std::vector<size_t> begins;
  std::vector<Correction> corrections = std::vector<Correction>(kSteps);

  // What the step makes of x; features of the latest computed step are in `kept`.
  Matrix run(const Matrix& x, size_t step, Matrix& kept) const {
    const Matrix h = net.features(x, step);
    const bool computed = std::ranges::find(begins, step) != begins.end();
    if (computed) kept = net.deep_features(h);
    Matrix g = kept;
    const Correction& c = corrections[step];
    if (c.features) fit::apply(*c.features, g);
    Matrix made = net.output(h, g);
    if (c.output) fit::apply(*c.output, made);
    return made;
  }
  Matrix sample(Matrix x) const {
    Matrix kept;
    for (size_t step = 0; step < kSteps; ++step) advance(x, run(x, step, kept), step);
    return x;
  }
};

// Step by step on what the corrected steps before give: first the kept features for those that the
// step would have, then the rounded output for that of the exact network.
void correct(Cached& cached, const Network& exact, Matrix x, bool features, bool output) {
  Matrix kept;
  for (size_t step = 0; step < kSteps; ++step) {
    const Matrix true_h = exact.features(x, step), true_g = exact.deep_features(true_h);
    Correction& c = cached.corrections[step];
    Matrix made = cached.run(x, step, kept);
    if (features) c.features = fit::fit_channels(kept.view(), true_g.view());
    if (features) made = cached.run(x, step, kept);
    if (output) c.output = fit::fit_channels(made.view(), exact.output(true_h, true_g).view());
    if (output) fit::apply(*c.output, made);
    advance(x, made, step);
  }
}

// What the features of a group's first step lack of those of its others, along a run of the rounded
// network.
GroupLoss feature_loss(const Network& net, Matrix x) {
  std::vector<Matrix> all;
  for (size_t step = 0; step < kSteps; ++step) {
    const Matrix h = net.features(x, step);
    all.push_back(net.deep_features(h));
    advance(x, net.output(h, all.back()), step);
  }
  std::vector<double> apart(kSteps * kSteps);
  for (size_t a = 0; a < kSteps; ++a) {
    for (size_t b = a; b < kSteps; ++b) apart[a * kSteps + b] = squared(all[a], all[b]);
  }
  return [apart = std::move(apart)](size_t first, size_t last) {
    double sum = 0;
    for (size_t step = first; step < last; ++step) sum += apart[first * kSteps + step];
    return sum;
  };
}

class StepCache : public ::testing::Test {
 protected:
  StepCache() {
    train(exact);
    small = rounded(exact);
  }
  // Of samples that nothing was fitted to, from those of the exact network without a cache.
  double error(const Partition& partition, bool features, bool output) const {
    Cached cached{small, partition.begins};
    correct(cached, exact, start, features, output);
    return error(cached);
  }
  double error(const Cached& cached) const {
    std::vector<size_t> all(kSteps);
    for (size_t s = 0; s < kSteps; ++s) all[s] = s;
    const Matrix fresh = noise({512, kSize}, 1, 999);
    return squared(cached.sample(fresh), Cached{exact, all}.sample(fresh));
  }

  Network exact, small;
  Matrix start = noise({512, kSize}, 1, 998);
};

TEST_F(StepCache, BestGroupsAndBothCorrectionsLoseLessThanEvenGroupsAndNone) {
  const GroupLoss loss = feature_loss(small, start);
  const Partition best = best_partition(kSteps, kGroups, loss);
  const Partition even = even_partition(kSteps, kGroups, loss);
  const double both = error(best, true, true);
  // Even groups and rounding, each by itself.
  EXPECT_LT(both, error(even, false, false));
  EXPECT_LT(error(best, false, false), error(even, false, false));
  EXPECT_LT(both, error(even, true, true));
  EXPECT_GT(error(best, true, false), both);
  EXPECT_GT(error(best, false, true), both);
}

}  // namespace
}  // namespace pith::budget
