// What forms make of weights: how near, how large, and what they refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "test_matrices.h"

namespace pith::form {
namespace {

TEST(Encode, GaussianGridsComeCloseToTheirTheory) {
  const Matrix m = noise({64, 1024}, 1);
  // Max (1960): the squared error of 2, 3 and 4 bits for a normal variable. Scales of whole rows.
  EXPECT_NEAR(squared_error("uniform(2, group=row, grid=gaussian)", m), 0.1175, 0.006);
  EXPECT_NEAR(squared_error("uniform(3, group=row, grid=gaussian)", m), 0.03454, 0.002);
  EXPECT_NEAR(squared_error("uniform(4, group=row, grid=gaussian)", m), 0.009497, 0.0006);
}

TEST(Encode, EachBitIsWorthAboutSixDecibels) {
  const Matrix m = noise({32, 512}, 2);
  double before = 1;
  for (int b = 2; b <= 8; ++b) {
    const double e = squared_error(fmt::format("uniform({}, group=32)", b), m);
    EXPECT_LT(e, before / 3) << b;
    before = e;
  }
  EXPECT_LT(before, 3e-5);  // (2.2 / 127)^2 / 12: the largest of 32 is about 2.2 deviations
}

TEST(Encode, SizesAreWhatTheyShouldBe) {
  const Matrix m = noise({256, 1024}, 3);
  EXPECT_NEAR(bits_each("uniform(4, group=32)", m), 4.5, 0.01);
  EXPECT_NEAR(bits_each("uniform(3, group=64, zero=true)", m), 3.5, 0.01);
  EXPECT_NEAR(bits_each("sparse(1%)", m), 0.32 + 0.03125, 0.02);
  EXPECT_NEAR(bits_each("lowrank(8)", m), 8 * 16 * (256 + 1024) / (256.0 * 1024), 0.01);
  EXPECT_NEAR(bits_each("dense(bf16)", m), 16, 0.01);
}

TEST(Encode, HadamardMakesOutliersHarmless) {
  Matrix m = noise({64, 768}, 4);  // 2^8 * 3
  for (uint64_t r = 0; r < 64; ++r) m.row(r)[r * 7 % 768] = 0.5f;
  const double plain = squared_error("uniform(3, group=row)", m);
  EXPECT_LT(squared_error("hadamard(seed=1) | uniform(3, group=row)", m), plain / 3);
  // So do the outliers taken out.
  EXPECT_LT(squared_error("sparse(0.2%) + uniform(3, group=row)", m), plain / 3);
}

TEST(Encode, ScalesOfColumnsMakeLargeChannelsHarmless) {
  Matrix m = noise({256, 256}, 5);
  for (uint64_t r = 0; r < 256; ++r) m.row(r)[17] *= 100;
  // Measured on the other columns, which a shared scale would lose.
  const auto others = [&](std::string_view expression) {
    const Matrix got = decode(*encode(parse(expression), m.view()));
    double e = 0;
    for (size_t i = 0; i < m.values.size(); ++i) {
      if (i % 256 != 17) e += std::pow(double{m.values[i]} - got.values[i], 2);
    }
    return e;
  };
  EXPECT_LT(others("scale | uniform(4, group=row)"), others("uniform(4, group=row)") / 20);
}

TEST(Encode, LowRankFindsWhatIsLow) {
  const Matrix left = noise({100, 3}, 6), right = noise({3, 120}, 7);
  Matrix m({100, 120});
  for (uint64_t r = 0; r < 100; ++r) {
    for (uint64_t c = 0; c < 120; ++c) {
      for (uint64_t k = 0; k < 3; ++k)
        m.row(r)[c] += left.view().row(r)[k] * right.view().row(k)[c];
    }
  }
  EXPECT_LT(squared_error("lowrank(3)", m), 1e-6);
  EXPECT_GT(squared_error("lowrank(2)", m), 1e-3);
}

TEST(Encode, RefusesWithThePlace) {
  Matrix m = noise({2, 3}, 8);
  m.row(1)[2] = NAN;
  const auto message = [&](std::string_view expression) -> std::string {
    try {
      encode(parse(expression), m.view());
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message("uniform(4)"), "uniform cannot hold nan (row 1, column 2)");
  EXPECT_EQ(message("dense(bf16)"), "");
  EXPECT_NE(message("unifrom(4)").find("no form is called `unifrom`; there are dense, uniform, "),
            std::string::npos);
  EXPECT_NE(message("uniform(9)").find("`bits` must be an integer from 1 to 8, got 9"),
            std::string::npos);
  EXPECT_NE(message("dense(f16) > zip").find("no coder is called `zip`"), std::string::npos);
  EXPECT_NE(message("$any").find("$any stands for nothing here"), std::string::npos);
  EXPECT_NE(message("dft | dense(f16)").find("no basis is called `dft`"), std::string::npos);
}

TEST(Encode, ZeroSizesAreForms) {
  for (const Shape shape : {Shape{0, 0}, Shape{0, 5}, Shape{5, 0}, Shape{1, 1}}) {
    const Matrix m = noise(shape, 9);
    for (const auto* e : {"uniform(4)", "uniform(4, group=tensor)", "sparse(50%)", "lowrank(2)",
                          "hadamard | dense(f32)"}) {
      EXPECT_EQ(decode(*encode(parse(e), m.view())).values.size(), shape.size()) << e;
    }
  }
}

}  // namespace
}  // namespace pith::form
