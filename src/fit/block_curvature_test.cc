#include "pith/fit/block_curvature.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pith/math/cholesky.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

constexpr uint64_t kSamples = 40;

// Gradients that neighbours share.
std::vector<Matrix> gradients(Shape shape, uint32_t seed) {
  std::vector<Matrix> all;
  for (uint64_t s = 0; s < kSamples; ++s) {
    const Matrix x = correlated(1, shape.size(), seed + 2 * static_cast<uint32_t>(s));
    all.emplace_back(shape);
    all.back().values = x.values;
  }
  return all;
}

BlockCurvature curvature_of(const std::vector<Matrix>& all, uint64_t width, double damping) {
  BlockCurvature c(all[0].shape, {width, damping, all.size()});
  for (const Matrix& g : all) c.add(g.view(), 1);
  return c;
}

// Of an error e, by gradients and damping in blocks: half of e F eᵀ.
double loss(const std::vector<Matrix>& all, uint64_t width, double damping, const Matrix& w,
            const Matrix& got) {
  double sum = 0;
  const uint64_t n = w.values.size();
  for (uint64_t at = 0; at < n; at += width) {
    for (uint64_t i = at; i < std::min(at + width, n); ++i) {
      sum += damping * std::pow(double{w.values[i]} - got.values[i], 2);
    }
    for (const Matrix& g : all) {
      double dot = 0;
      for (uint64_t i = at; i < std::min(at + width, n); ++i) {
        dot += g.values[i] * (double{w.values[i]} - got.values[i]);
      }
      sum += dot * dot / static_cast<double>(all.size());
    }
  }
  return sum / 2;
}

TEST(BlockCurvature, WoodburysInverseIsTheInverse) {
  const Shape shape{3, 17};
  const auto all = gradients(shape, 1);
  const uint64_t width = 10;
  const BlockCurvature c = curvature_of(all, width, 1e-2);
  EXPECT_EQ(c.samples(), kSamples);
  ASSERT_EQ(c.blocks(), 6u);
  EXPECT_EQ(c.size(5), 1u);
  for (uint64_t b = 0; b < c.blocks(); ++b) {
    const uint64_t n = c.size(b);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t k = 0; k < n; ++k) {
        double sum = 1e-2 * c.inverse(b)[r * n + k];
        for (const Matrix& g : all) {
          for (uint64_t i = 0; i < n; ++i) {
            sum += double{g.values[b * width + r]} * g.values[b * width + i] *
                   c.inverse(b)[i * n + k] / kSamples;
          }
        }
        EXPECT_NEAR(sum, r == k, 1e-7);
      }
    }
  }
}

TEST(BlockCurvature, GradientsOfLinearLayers) {
  const Shape shape{3, 5};
  const Matrix x = noise({7, 5}, 1), dy = noise({7, 3}, 2);
  Matrix gradient(shape);
  for (uint64_t t = 0; t < 7; ++t) {
    for (uint64_t r = 0; r < 3; ++r) {
      for (uint64_t c = 0; c < 5; ++c) {
        gradient.row(r)[c] += dy.view().row(t)[r] * x.view().row(t)[c];
      }
    }
  }
  BlockCurvature a(shape, {5, 1e-2, 1}), b(shape, {5, 1e-2, 1});
  a.add(gradient.view());
  b.add(x.view(), dy.view(), 7);
  for (uint64_t k = 0; k < a.blocks(); ++k) {
    for (uint64_t i = 0; i < 25; ++i) EXPECT_NEAR(a.inverse(k)[i], b.inverse(k)[i], 1e-2);
  }
}

TEST(BlockCurvature, RowsOfSeveralSamplesAreThoseOfEach) {
  const Shape shape{3, 5};
  constexpr uint64_t kAll = 40;  // more than go together
  const Matrix x = noise({2 * kAll, 5}, 1), dy = noise({2 * kAll, 3}, 2);
  BlockCurvature a(shape, {5, 1e-2, kAll}), b(shape, {5, 1e-2, kAll});
  a.add(x.view(), dy.view(), 2, 0.5f);
  for (uint64_t s = 0; s < kAll; ++s) {
    Matrix gradient(shape);
    for (uint64_t i = 0; i < shape.size(); ++i) {
      for (uint64_t t = 2 * s; t < 2 * s + 2; ++t) {
        gradient.values[i] += 0.5f * dy.view().row(t)[i / 5] * x.view().row(t)[i % 5];
      }
    }
    b.add(gradient.view());
  }
  EXPECT_EQ(a.samples(), kAll);
  for (uint64_t k = 0; k < a.blocks(); ++k) {
    for (uint64_t i = 0; i < 25; ++i) EXPECT_NEAR(a.inverse(k)[i], b.inverse(k)[i], 1e-3);
  }
  EXPECT_NE(refusal([&] { a.add(x.view(), dy.view(), 2); }), "");
  BlockCurvature c(shape, {5, 1e-2, kAll});
  EXPECT_NE(refusal([&] { c.add(x.view(), dy.view(), 3); }), "");
  EXPECT_NE(refusal([&] { c.add(x.view(), dy.view(), 0); }), "");
}

TEST(BlockCurvature, PruningLosesLessThanTheSmallest) {
  const Shape shape{12, 48};
  const Matrix w = noise(shape, 3, 0.1f);
  const auto all = gradients(shape, 4);
  const BlockCurvature c = curvature_of(all, 24, 1e-3);
  for (const char* text :
       {"sparse(50%, values=f32)", "sparse(10%, values=f32)", "sparse(25%, block=4, values=f32)"}) {
    const CurvaturePruned pruned = prune(parse(text), w.view(), c, 1);
    const Matrix got = decode(*pruned.form);
    const auto plain = encode(parse(text), w.view());
    EXPECT_EQ(pruned.form->expression(), plain->expression());
    EXPECT_EQ(std::ranges::count_if(got.values, [](float v) { return v != 0; }),
              std::ranges::count_if(decode(*plain).values, [](float v) { return v != 0; }));
    const double lost = loss(all, 24, 1e-3, w, got);
    EXPECT_NEAR(pruned.loss, lost, 1e-3 * lost) << text;
    EXPECT_LT(lost, 0.8 * loss(all, 24, 1e-3, w, decode(*plain))) << text;
    // What is left has made up for it.
    Matrix masked = w;
    for (uint64_t i = 0; i < masked.values.size(); ++i) {
      if (pruned.keep[i] == 0) masked.values[i] = 0;
    }
    EXPECT_LT(lost, 0.95 * loss(all, 24, 1e-3, w, masked)) << text;
    EXPECT_EQ(write(*prune(parse(text), w.view(), c, 2).form), write(*pruned.form));
  }
}

TEST(BlockCurvature, NothingAndAll) {
  const Matrix w = noise({4, 6}, 3, 0.1f);
  const BlockCurvature c = curvature_of(gradients(w.shape, 4), 6, 1e-3);
  EXPECT_EQ(prune(parse("sparse(100%, values=f32)"), w.view(), c).loss, 0);
  EXPECT_EQ(decode(*prune(parse("sparse(100%, values=f32)"), w.view(), c).form).values, w.values);
  EXPECT_EQ(decode(*prune(parse("sparse(0%)"), w.view(), c).form).values,
            std::vector<float>(24, 0.0f));
  const Matrix none(Shape{0, 6});
  EXPECT_EQ(
      prune(parse("sparse(50%)"), none.view(), BlockCurvature(none.shape, {5, 1, 1})).form->shape(),
      none.shape);
}

TEST(BlockCurvature, RefusesWhatDoesNotFit) {
  const Shape shape{4, 6};
  EXPECT_NE(refusal([&] { BlockCurvature(shape, {10, 1e-3, 0}); }), "");
  EXPECT_NE(refusal([&] { BlockCurvature(shape, {0, 1e-3, 1}); }), "");
  EXPECT_NE(refusal([&] { BlockCurvature(shape, {10, 0, 1}); }), "");
  BlockCurvature c(shape, {10, 1e-3, 1});
  Matrix g = noise(shape, 1);
  EXPECT_EQ(refusal([&] {
              c.add(noise({6, 4}, 1).view());
            }),
            "a gradient of 6 x 4 for weights of 4 x 6");
  g.values[7] = NAN;
  EXPECT_EQ(refusal([&] { c.add(g.view()); }), "gradient: row 1, column 1 is nan");
  g.values[7] = 0;
  c.add(g.view());
  EXPECT_EQ(refusal([&] { c.add(g.view()); }), "more than the 1 gradients that were to come");
  EXPECT_NE(refusal([&] { prune(parse("sparse(2:4)"), g.view(), c); }), "");
  EXPECT_EQ(refusal([&] { prune(parse("sparse(50%, block=4)"), g.view(), c); }),
            "blocks of 4 do not divide rows of 6 and curvature in blocks of 10");
  EXPECT_NE(refusal([&] { prune(parse("sparse(50%)"), noise({6, 4}, 1).view(), c); }), "");
  g.values[0] = INFINITY;
  EXPECT_EQ(refusal([&] { prune(parse("sparse(50%)"), g.view(), c); }),
            "weights: row 0, column 0 is inf");
}

}  // namespace
}  // namespace pith::fit
