// Bases: what they make small, that forms in them multiply, what they refuse.
#include <gtest/gtest.h>

#include <cmath>

#include "test_matrices.h"

namespace pith::form {
namespace {

// Rows that are smooth along the columns, like images and spectra.
Matrix smooth(Shape shape, uint32_t seed) {
  Matrix m = noise(shape, seed);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 1; c < shape.cols; ++c)
      m.row(r)[c] = 0.97f * m.row(r)[c - 1] + 0.1f * m.row(r)[c];
  }
  return m;
}

TEST(Bases, FormsInThemMultiply) {
  for (const Shape shape : {Shape{1, 1}, Shape{5, 33}, Shape{70, 96}}) {
    const Matrix m = noise(shape, 1);
    for (const auto* e :
         {"dct", "dct(block=16)", "dct(block=7)", "dct(block=999)", "wavelet", "wavelet(db4)",
          "wavelet(haar, levels=2)", "pca", "pca(block=10)", "permutation", "permutation(seed=3)",
          "permutation(stride=5)", "permutation(by=norm)"}) {
      const std::string exact = std::string(e) + " | dense(f32)";
      EXPECT_LT(squared_error(exact, m), 1e-9) << e;
      expect_multiplies(*encoded(exact, m));
      const FormPtr f = encoded(std::string(e) + " | uniform(6)", m);
      expect_multiplies(*f);
      EXPECT_EQ(decode(*read(write(*f), nullptr)).values, decode(*f).values) << e;
    }
  }
}

TEST(Bases, MakeSmoothRowsFew) {
  const Matrix m = smooth({64, 256}, 2);
  const double plain = squared_error("sparse(10%)", m);
  for (const auto* e : {"dct | sparse(10%)", "dct(block=64) | sparse(10%)", "wavelet | sparse(10%)",
                        "wavelet(db4) | sparse(10%)"}) {
    EXPECT_LT(squared_error(e, m), plain / 5) << e;
  }
}

TEST(Bases, PcaFindsWhatColumnsShare) {
  // Each block of 16 columns is a mix of 3.
  Matrix m({200, 64});
  for (uint64_t block = 0; block < 4; ++block) {
    const Matrix from = noise({200, 3}, 3 + static_cast<uint32_t>(block));
    const Matrix mix = noise({3, 16}, 13 + static_cast<uint32_t>(block));
    for (uint64_t r = 0; r < 200; ++r) {
      for (uint64_t k = 0; k < 3; ++k) {
        for (uint64_t c = 0; c < 16; ++c)
          m.row(r)[16 * block + c] += from.view().row(r)[k] * mix.view().row(k)[c];
      }
    }
  }
  EXPECT_LT(squared_error("pca(block=16) | sparse(12:64, values=f32)", m), 1e-5);
  EXPECT_LT(squared_error("pca | sparse(12:64, values=f32)", m), 1e-5);
  EXPECT_GT(squared_error("sparse(12:64, values=f32)", m), 0.1);
  // The first coordinates are those that count.
  EXPECT_LT(squared_error("pca | tiles(part(dense, cols=0..12), part(zeros, cols=12..))", m), 1e-5);
}

TEST(Bases, PermutationByNormPutsLikeBesideLike) {
  Matrix m = noise({64, 256}, 4);
  for (uint64_t r = 0; r < 64; ++r) {
    for (uint64_t c = 0; c < 256; c += 16) m.row(r)[c] *= 30;
  }
  const auto others = [&](std::string_view expression) {
    const Matrix got = decode(*encoded(expression, m));
    double e = 0;
    for (size_t i = 0; i < m.values.size(); ++i) {
      if (i % 16 != 0) e += std::pow(double{m.values[i]} - got.values[i], 2);
    }
    return e;
  };
  EXPECT_LT(others("permutation(by=norm) | uniform(4, group=16)"),
            others("uniform(4, group=16)") / 20);
  // Seeds and strides take no room.
  EXPECT_LE(bits(*encoded("permutation(seed=1) | uniform(4)", m)),
            bits(*encoded("uniform(4)", m)) + 8 * 160);
}

TEST(Bases, ChannelsAreScaledByTheirSizesToAPower) {
  Matrix m = noise({32, 64}, 9);
  for (uint64_t r = 0; r < 32; ++r) {
    for (uint64_t c = 0; c < 64; c += 8) m.row(r)[c] *= 30;
  }
  const auto lost = [&](std::string_view basis) {
    return squared_error(fmt::format("{} | uniform(4, group=row, zero=true)", basis), m);
  };
  // In units of their sizes to no power they are what they are.
  EXPECT_EQ(lost("scale(max, power=0%)"), squared_error("uniform(4, group=row, zero=true)", m));
  EXPECT_EQ(lost("scale(by=rms)"), lost("scale"));
  EXPECT_EQ(lost("scale(power=100%)"), lost("scale"));
  // Large channels are worth more steps than small ones, not as many times more as they are larger.
  EXPECT_LT(lost("scale(max, power=50%)"), 0.7 * lost("scale(max, power=0%)"));
  EXPECT_LT(lost("scale(max, power=50%)"), lost("scale(max)"));
  EXPECT_NE(lost("scale(max)"), lost("scale"));
  EXPECT_EQ(encoded("scale(max, power=50%) | dense(f32)", m)->expression(),
            parse("scale | dense(f32)"));
}

TEST(Bases, RefuseWithThePlace) {
  const Matrix m = noise({2, 8}, 5);
  EXPECT_EQ(refusal("wavelet(cdf53) | dense", m),
            "line 1, column 9: wavelet: `kind` must be `haar` or `db4`, got cdf53\n"
            "  wavelet(cdf53) | dense\n"
            "          ^");
  EXPECT_NE(refusal("dct(block=0) | dense", m).find("`block` must be an integer from 1"),
            std::string::npos);
  EXPECT_NE(refusal("permutation(seed=1, stride=2) | dense", m).find("left out beside `seed`"),
            std::string::npos);
  EXPECT_NE(refusal("scale(mean) | dense", m).find("`by` must be `rms` or `max`"),
            std::string::npos);
  EXPECT_NE(refusal("scale(max, power=200%) | dense", m).find("`power` must be"),
            std::string::npos);
  EXPECT_NE(refusal("fourier | dense", m)
                .find("no basis is called `fourier`; there are hadamard, dct, wavelet, pca, "
                      "permutation, scale"),
            std::string::npos);
  Matrix bad = m;
  bad.row(1)[3] = INFINITY;
  EXPECT_NE(refusal("pca | dense", bad).find("pca cannot hold inf (row 1, column 3)"),
            std::string::npos);
}

TEST(Bases, WhatIsCutOffIsRefused) {
  const Matrix m = noise({3, 12}, 6);
  for (const auto* e : {"dct(block=5) | uniform(4)", "wavelet(db4) | uniform(4)",
                        "pca(block=5) | uniform(4)", "permutation | uniform(4)"}) {
    expect_refuses_truncation(*encoded(e, m));
  }
}

}  // namespace
}  // namespace pith::form
