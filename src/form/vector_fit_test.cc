#include "pith/form/vector_fit.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "e8.h"
#include "pith/base/error.h"
#include "testing.h"

namespace pith::form {
namespace {

constexpr const char* kForms[] = {
    "codebook(16)",
    "codebook(40, dim=3, group=row)",
    "codebook(8, dim=2, rows=8, columns=12, entries=i8)",
    "codebook(8, dim=4, stages=3, fit=additive, group=8)",
    "lattice(e8, 2)",
    "lattice(e8, 3, group=tensor)",
    "lattice(pyramid, dim=6, k=5, gain=2, group=12)",
};

Matrix normal(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  Matrix m(shape);
  for (float& v : m.values) v = draw(random);
  return m;
}

// Of a few random directions, of which some hardly matter.
std::vector<double> metric(uint64_t dim, uint32_t seed) {
  const Matrix x = normal({dim + 1, dim}, seed);
  std::vector<double> m(dim * dim);
  for (uint64_t i = 0; i < dim; ++i) {
    for (uint64_t j = 0; j < dim; ++j) {
      for (uint64_t t = 0; t <= dim; ++t)
        m[i * dim + j] += double{x.values[t * dim + i]} * x.values[t * dim + j];
    }
  }
  return m;
}

double error_of(const std::vector<double>& m, const float* a, const float* b, uint64_t dim) {
  double sum = 0;
  for (uint64_t i = 0; i < dim; ++i) {
    for (uint64_t j = 0; j < dim; ++j) {
      sum += m[i * dim + j] * (double{a[i]} - b[i]) * (double{a[j]} - b[j]);
    }
  }
  return sum;
}

TEST(VectorFit, BeginsWithTheFormItIsGiven) {
  for (const Shape shape : {Shape{7, 24}, Shape{5, 13}, Shape{1, 1}, Shape{0, 8}}) {
    const Matrix w = normal(shape, 1);
    for (const char* text : kForms) {
      const FormPtr start = encode(parse(text), w.view());
      const VectorFit fit(start);
      EXPECT_EQ(write(*fit.form()), write(*start)) << text;
      const Matrix decoded = decode(*start);
      std::vector<float> values(fit.dim());
      for (uint64_t r = 0; r < shape.rows; ++r) {
        for (uint64_t c = 0; c < shape.cols; c += fit.dim()) {
          fit.values(r, c, values.data());
          for (uint64_t i = 0; i < std::min(fit.dim(), shape.cols - c); ++i) {
            EXPECT_EQ(values[i], decoded.values[r * shape.cols + c + i]) << text;
          }
        }
      }
    }
  }
}

TEST(VectorFit, ChoosesTheNearestEntryUnderAMetric) {
  const Matrix w = normal({20, 12}, 2), wanted = normal({20, 3}, 3);
  VectorFit fit(encode(parse("codebook(40, dim=3, group=row)"), w.view()));
  const auto entries = fit.entry_values();
  const auto m = metric(3, 4);
  Matrix values({20, 3});
  fit.choose({0, 20, 6, m, wanted.values.data(), values.values.data()});
  const Matrix decoded = decode(*fit.form());
  for (uint64_t r = 0; r < 20; ++r) {
    double least = INFINITY;
    for (uint64_t e = 0; e < 40; ++e) {
      float v[3];
      for (uint64_t i = 0; i < 3; ++i)
        v[i] = fit.scale(r, 6) * static_cast<float>(entries[3 * e + i]);
      least = std::min(least, error_of(m, wanted.view().row(r).data(), v, 3));
    }
    EXPECT_LE(error_of(m, wanted.view().row(r).data(), values.row(r).data(), 3), least * 1.0001);
    for (uint64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(values.row(r)[i], decoded.view().row(r)[6 + i]);
    }
  }
}

// Whatever is wanted: what is chosen under the metric is no worse there than what encode() chose.
TEST(VectorFit, ChoosesNoWorseThanTheNearestAndOnlyBetterCodes) {
  for (const char* text : kForms) {
    const Matrix w = normal({9, 24}, 5);
    const FormPtr start = encode(parse(text), w.view());
    VectorFit fit(start);
    const uint64_t dim = fit.dim(), column = dim;
    const auto m = metric(dim, 6);
    Matrix wanted({9, dim}), before({9, dim});
    for (uint64_t r = 0; r < 9; ++r) {
      for (uint64_t i = 0; i < dim; ++i) wanted.row(r)[i] = w.view().row(r)[column + i];
      fit.values(r, column, before.row(r).data());
    }
    Matrix after = before;
    fit.choose({0, 9, column, m, wanted.values.data(), after.values.data(), true});
    double sum_before = 0, sum_after = 0;
    for (uint64_t r = 0; r < 9; ++r) {
      const float* x = wanted.view().row(r).data();
      const double old = error_of(m, x, before.row(r).data(), dim);
      EXPECT_LE(error_of(m, x, after.row(r).data(), dim), old) << text;
      std::vector<float> values(dim);
      fit.values(r, column, values.data());
      for (uint64_t i = 0; i < dim; ++i) EXPECT_EQ(values[i], after.row(r)[i]) << text;
      sum_before += old;
      sum_after += error_of(m, x, after.row(r).data(), dim);
    }
    if (dim > 2) {
      EXPECT_LT(sum_after, 0.95 * sum_before) << text;
    }
  }
}

// The descent from neighbour to neighbour finds nearly what a search of all points would.
TEST(VectorFit, FindsPointsOfE8NearlyAsNearAsAnyIs) {
  const Matrix w = normal({40, 8}, 13), wanted = normal({40, 8}, 14);
  VectorFit fit(encode(parse("lattice(e8, 2)"), w.view()));
  std::vector<float> all;
  for (uint32_t code = 0; code < 65536; ++code) {
    for (const int8_t v : e8_vector(static_cast<uint16_t>(code))) all.push_back(v * 0.25f);
  }
  for (const uint32_t seed : {15, 16, 17}) {
    const auto m = metric(8, seed);
    Matrix values({40, 8});
    fit.choose({0, 40, 0, m, wanted.values.data(), values.values.data()});
    double found = 0, least = 0;
    for (uint64_t r = 0; r < 40; ++r) {
      const float* x = wanted.view().row(r).data();
      found += error_of(m, x, values.row(r).data(), 8);
      double best = INFINITY;
      std::array<float, 8> v;
      for (uint32_t code = 0; code < 65536; ++code) {
        for (uint64_t i = 0; i < 8; ++i) v[i] = fit.scale(r, 0) * all[8 * code + i];
        best = std::min(best, error_of(m, x, v.data(), 8));
      }
      least += best;
    }
    EXPECT_GE(found, least * 0.9999);
    EXPECT_LT(found, least * 1.1);
  }
}

TEST(VectorFit, ProductsAreTheTransposeOfValues) {
  const Matrix w = normal({6, 24}, 7), other = normal({6, 24}, 8);
  for (const char* text : kForms) {
    VectorFit fit(encode(parse(text), w.view()));
    const uint64_t n = fit.entries(), dim = fit.dim();
    if (n == 0) continue;
    const Matrix entries = normal({1, n}, 9);
    const std::vector<double> e(entries.values.begin(), entries.values.end());
    std::vector<double> sums(n);
    std::vector<float> values(dim);
    double there = 0;
    for (uint64_t r = 0; r < 6; ++r) {
      for (uint64_t c = 0; c < 24; c += dim) {
        const float* x = other.view().row(r).data() + c;
        fit.values_with(e, r, c, values.data());
        for (uint64_t i = 0; i < dim; ++i) there += double{values[i]} * x[i];
        fit.add_products(r, c, x, sums.data());
      }
    }
    double back = 0;
    for (uint64_t i = 0; i < n; ++i) back += sums[i] * e[i];
    EXPECT_NEAR(back, there, 1e-4 * (1 + std::fabs(there))) << text;
    fit.set_entries(e);
    const auto stored = fit.entry_values();
    for (uint64_t i = 0; i < n; ++i) EXPECT_NEAR(stored[i], e[i], 0.02) << text;
  }
}

TEST(VectorFit, SurvivesMetricsOfNothingAndExtremeWeights) {
  for (const float size : {0.0f, 1e-30f, 1e-4f, 1e4f, 1e30f}) {
    Matrix w = normal({3, 16}, 10);
    for (float& v : w.values) v *= size;
    for (const char* text : kForms) {
      VectorFit fit(encode(parse(text), w.view()));
      std::vector<float> values(3 * fit.dim());
      for (const double scale : {0.0, 1e-200, 1.0, 1e200}) {
        auto m = metric(fit.dim(), 11);
        for (double& v : m) v *= scale;
        fit.choose({0, 3, 0, m, w.values.data(), values.data()});
        for (const float v : values) ASSERT_TRUE(std::isfinite(v)) << text;
      }
    }
  }
}

TEST(VectorFit, RefusesFormsOfOtherKinds) {
  const Matrix w = normal({3, 16}, 12);
  EXPECT_THROW(VectorFit(encode(parse("uniform(4)"), w.view())), Error);
  EXPECT_TRUE(VectorFit::fits(parse("lattice(e8, 2)")));
  EXPECT_FALSE(VectorFit::fits(parse("uniform(4)")));
}

}  // namespace
}  // namespace pith::form
