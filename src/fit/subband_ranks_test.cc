#include "pith/fit/subband_ranks.h"

#include <gtest/gtest.h>

#include "testing.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::parse;

double squared_error(const Matrix& m, const Expression& e) {
  const Matrix got = form::decode(*form::encode(e, m.view()));
  double sum = 0;
  for (size_t i = 0; i < m.values.size(); ++i) sum += std::pow(m.values[i] - got.values[i], 2);
  return sum;
}

double squared_size(const Matrix& m) {
  double sum = 0;
  for (const float v : m.values) sum += v * v;
  return sum;
}

// Neighbours are alike in both directions, as in a picture or a kernel of patches.
Matrix smooth(form::Shape shape, uint32_t seed) {
  Matrix m = noise(shape, seed);
  for (int pass = 0; pass < 2; ++pass) {
    for (uint64_t r = 1; r < shape.rows; ++r) {
      for (uint64_t c = 0; c < shape.cols; ++c)
        m.row(r)[c] = 0.3f * m.row(r)[c] + 0.7f * m.row(r - 1)[c];
    }
    for (uint64_t r = 0; r < shape.rows; ++r) {
      for (uint64_t c = 1; c < shape.cols; ++c)
        m.row(r)[c] = 0.3f * m.row(r)[c] + 0.7f * m.row(r)[c - 1];
    }
  }
  return m;
}

Matrix spread(form::Shape shape, uint64_t rank, uint32_t seed) {
  const Matrix a = noise({shape.rows, rank}, seed), b = noise({rank, shape.cols}, seed + 1);
  Matrix m(shape);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t k = 0; k < rank; ++k) {
      for (uint64_t c = 0; c < shape.cols; ++c)
        m.row(r)[c] += a.view().row(r)[k] * b.view().row(k)[c];
    }
  }
  return m;
}

// The same price as this rank of the whole.
uint64_t numbers(const Matrix& m, uint64_t rank) { return rank * (m.shape.rows + m.shape.cols); }

double by_bands(const Matrix& m, uint64_t rank, int levels,
                math::Wavelet wavelet = math::Wavelet::kHaar) {
  return squared_error(m, subband_ranks(m.view(), numbers(m, rank), {wavelet, levels}));
}

TEST(SubbandRanks, KeepMoreOfWhatIsAlikeBetweenNeighbours) {
  const Matrix m = smooth({96, 64}, 1);
  const double plain = by_bands(m, 6, 0);
  EXPECT_LT(by_bands(m, 6, 1), 0.8 * plain);
  EXPECT_LT(by_bands(m, 6, 1, math::Wavelet::kDaubechies4), 0.8 * plain);
}

// Directions over everything fall into all four bands.
TEST(SubbandRanks, KeepLessOfWhatIsSpreadOverEverything) {
  const Matrix m = spread({96, 64}, 8, 3);
  EXPECT_LT(by_bands(m, 8, 0), 1e-5 * squared_size(m));
  EXPECT_GT(by_bands(m, 8, 1), 0.05 * squared_size(m));
}

TEST(SubbandRanks, TakeAsManyNumbersAsTheyMay) {
  const Matrix m = smooth({50, 37}, 5);
  for (const uint64_t rank : {0, 1, 5, 20}) {
    const form::FormPtr f =
        form::encode(subband_ranks(m.view(), numbers(m, rank), {.levels = 2}), m.view());
    const uint64_t side = 16 * 8 * 100;  // what says where the parts are
    EXPECT_LE(form::bits(*f), 16 * numbers(m, rank) + side) << rank;
    if (rank == 5) {
      EXPECT_GT(form::bits(*f), 16 * numbers(m, rank) * 9 / 10);
    }
  }
  EXPECT_LT(by_bands(m, 37, 2), 1e-4 * squared_size(m));
}

// A difference beside the weights computes what the weights with it would.
TEST(SubbandRanks, AppliedIsMerged) {
  const Matrix base = noise({48, 40}, 7), difference = smooth({48, 40}, 8), x = noise({3, 40}, 9);
  const Expression e = subband_ranks(difference.view(), numbers(difference, 4));
  const form::FormPtr adapter = form::encode(e, difference.view());
  EXPECT_EQ(form::to_string(adapter->expression()), form::to_string(e));
  Matrix merged = form::decode(*adapter);
  for (size_t i = 0; i < merged.values.size(); ++i) merged.values[i] += base.values[i];
  Matrix whole, one, other;
  form::apply(*form::encode(parse("dense(f32)"), merged.view()), x.view(), whole);
  form::apply(*form::encode(parse("dense(f32)"), base.view()), x.view(), one);
  form::apply(*adapter, x.view(), other);
  for (size_t i = 0; i < whole.values.size(); ++i)
    EXPECT_NEAR(whole.values[i], one.values[i] + other.values[i], 1e-4);
}

TEST(SubbandRanks, OddShapesAndWrongOptions) {
  for (const form::Shape shape : {form::Shape{1, 1}, {1, 9}, {7, 1}, {5, 3}}) {
    const Matrix m = noise(shape, 11);
    EXPECT_LT(by_bands(m, 9, 3), 1e-5) << shape.rows << " x " << shape.cols;
  }
  Matrix m = noise({4, 4}, 12);
  EXPECT_THROW(subband_ranks(m.view(), 8, {.levels = -1}), Error);
  EXPECT_THROW(subband_ranks(m.view(), 8, {.levels = 99}), Error);
  m.values[3] = NAN;
  EXPECT_THROW(subband_ranks(m.view(), 8), Error);
}

}  // namespace
}  // namespace pith::fit
