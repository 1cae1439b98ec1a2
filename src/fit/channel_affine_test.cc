#include "pith/fit/channel_affine.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::fit {
namespace {

using form::Matrix;

Matrix noise(form::Shape shape, uint64_t seed) {
  Matrix m(shape);
  for (size_t i = 0; i < m.values.size(); ++i) {
    m.values[i] = static_cast<float>(random_unit(seed, i)) - 0.5F;
  }
  return m;
}

double error(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i) {
    sum += (double{a.values[i]} - b.values[i]) * (double{a.values[i]} - b.values[i]);
  }
  return sum;
}

TEST(ChannelAffine, IsFoundAgain) {
  const ChannelAffine wanted{{2, -0.5F, 1}, {0.25F, 3, 0}};
  const Matrix x = noise({40, 3}, 1);
  Matrix y = x;
  apply(wanted, y);
  const ChannelAffine found = fit_channels(x.view(), y.view());
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(found.scale[c], wanted.scale[c], 1e-5);
    EXPECT_NEAR(found.shift[c], wanted.shift[c], 1e-5);
  }
}

TEST(ChannelAffine, IsTheLeastSquaredError) {
  const Matrix x = noise({30, 2}, 2), y = noise({30, 2}, 3);
  const ChannelAffine best = fit_channels(x.view(), y.view());
  const auto of = [&](const ChannelAffine& a) {
    Matrix made = x;
    apply(a, made);
    return error(made, y);
  };
  for (const float step : {-0.02F, 0.02F}) {
    ChannelAffine a = best, b = best;
    a.scale[1] += step;
    b.shift[0] += step;
    EXPECT_GT(of(a), of(best));
    EXPECT_GT(of(b), of(best));
  }
}

TEST(ChannelAffine, GoesIntoWhatReadsTheChannels) {
  const ChannelAffine a{{2, 0.5F, -1}, {1, 0.125F, 3}};
  const Matrix x = noise({5, 3}, 4);
  Matrix after = x, weights = noise({4, 3}, 5);
  apply(a, after);
  std::vector<float> bias = {1, 2, 3, 4};
  const Matrix was = weights;
  const std::vector<float> bias_was = bias;
  fold(a, weights, bias);
  for (uint64_t r = 0; r < 5; ++r) {
    for (uint64_t o = 0; o < 4; ++o) {
      double wanted = bias_was[o], made = bias[o];
      for (uint64_t c = 0; c < 3; ++c) {
        wanted += double{was.view().row(o)[c]} * after.view().row(r)[c];
        made += double{weights.view().row(o)[c]} * x.view().row(r)[c];
      }
      EXPECT_NEAR(made, wanted, 1e-5);
    }
  }
}

TEST(ChannelAffine, ChannelsThatStandStillAreShifted) {
  Matrix x({4, 1}), y({4, 1});
  x.values = {2, 2, 2, 2};
  y.values = {1, 2, 3, 4};
  const ChannelAffine a = fit_channels(x.view(), y.view());
  EXPECT_EQ(a.scale[0], 1);
  EXPECT_EQ(a.shift[0], 0.5F);
}

TEST(ChannelAffine, RefusesOtherShapes) {
  Matrix x({2, 3}), y({2, 2}), none({0, 3});
  EXPECT_THROW(fit_channels(x.view(), y.view()), Error);
  EXPECT_THROW(fit_channels(none.view(), none.view()), Error);
  EXPECT_THROW(apply(ChannelAffine{{1, 1}, {0, 0}}, x), Error);
  std::vector<float> bias(3);
  EXPECT_THROW(fold(ChannelAffine{{1, 1, 1}, {0, 0, 0}}, x, bias), Error);
}

}  // namespace
}  // namespace pith::fit
