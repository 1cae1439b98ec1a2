#include "pith/fit/metric.h"

#include <gtest/gtest.h>

#include <cmath>

#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;

TEST(Metric, SecondMomentsGiveTheErrorOfTheOutputs) {
  const Matrix x = correlated(90, 13, 1), w = noise({70, 13}, 2), q = noise({70, 13}, 3);
  double wanted = 0;
  for (uint64_t t = 0; t < 90; ++t) {
    for (uint64_t r = 0; r < 70; ++r) {
      double e = 0;
      for (uint64_t c = 0; c < 13; ++c) {
        e += (double{w.view().row(r)[c]} - q.view().row(r)[c]) * x.view().row(t)[c];
      }
      wanted += e * e;
    }
  }
  const Metric metric = metric_of(x);
  const double got = error(metric, w.view(), q.view(), 1);
  EXPECT_NEAR(got, wanted, 1e-5 * wanted);
  EXPECT_EQ(got, error(metric, w.view(), q.view(), 2));
}

TEST(Metric, DiagonalAndSquaredAreSpecialCases) {
  const Matrix w = noise({5, 4}, 2), q = noise({5, 4}, 3);
  std::vector<double> h(16);
  for (size_t c = 0; c < 4; ++c) h[c * 5] = static_cast<double>(c);
  const Metric diagonal = Metric::diagonal({0, 1, 2, 3});
  EXPECT_NEAR(error(diagonal, w.view(), q.view()),
              error(Metric::second_moments(4, h), w.view(), q.view()), 1e-12);
  EXPECT_NEAR(error(Metric(), w.view(), q.view()),
              error(Metric::diagonal({1, 1, 1, 1}), w.view(), q.view()), 1e-12);
  EXPECT_EQ(error(Metric(), w.view(), w.view()), 0);
  EXPECT_EQ(error(Metric(), {nullptr, {0, 7}}, {nullptr, {0, 7}}), 0);
}

TEST(Metric, RefusesWhatIsNone) {
  EXPECT_EQ(refusal([] { Metric::diagonal({1, -1}); }), "importance: column 1 has -1");
  EXPECT_EQ(refusal([] { Metric::diagonal({NAN}); }), "importance: column 0 has nan");
  EXPECT_EQ(refusal([] {
              Metric::second_moments(2, {1, 2, 3, 4});
            }),
            "second moments: 0, 1 is not 1, 0");
  EXPECT_EQ(refusal([] { Metric::second_moments(1, {INFINITY}); }), "second moments: 0, 0 is inf");
  EXPECT_EQ(refusal([] { Metric::second_moments(1, {-1}); }),
            "second moments: the square of channel 0 is negative");
  EXPECT_EQ(refusal([] {
              Metric::second_moments(2, {1, 2, 3});
            }),
            "second moments: 3 numbers are not 2 x 2");
  EXPECT_EQ(refusal([] { Metric::second_moments(uint64_t{1} << 32, {}); }),
            "second moments: 0 numbers are not 4294967296 x 4294967296");
}

TEST(Metric, RefusesOtherShapes) {
  const Matrix a = noise({2, 3}, 1), b = noise({3, 2}, 1);
  EXPECT_EQ(refusal([&] { error(Metric(), a.view(), b.view()); }),
            "an error between 2 x 3 and 3 x 2");
  EXPECT_EQ(refusal([&] {
              error(Metric::diagonal({1, 2}), a.view(), a.view());
            }),
            "a metric of 2 columns does not fit a matrix of 3");
}

}  // namespace
}  // namespace pith::fit
