// Factors: how they are fitted, how much they take, and what they hold while they are applied.
#include "product.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "test_matrices.h"

namespace pith::form {
namespace {

Matrix times(const Matrix& a, const Matrix& b) {
  Matrix out({a.shape.rows, b.shape.cols});
  for (uint64_t r = 0; r < out.shape.rows; ++r) {
    for (uint64_t k = 0; k < a.shape.cols; ++k) {
      for (uint64_t c = 0; c < out.shape.cols; ++c)
        out.row(r)[c] += a.view().row(r)[k] * b.view().row(k)[c];
    }
  }
  return out;
}

Matrix diagonal(uint64_t size, uint64_t block, uint32_t seed) {
  Matrix m = noise({size, size}, seed);
  for (uint64_t r = 0; r < size; ++r) {
    for (uint64_t c = 0; c < size; ++c)
      m.row(r)[c] = r / block == c / block ? 10 * m.row(r)[c] + (r == c) : 0;
  }
  return m;
}

TEST(Product, DecodesToTheProductOfItsFactors) {
  const Matrix m = noise({20, 30}, 1);
  const FormPtr a = encoded("dense(f32)", noise({20, 5}, 2)),
                b = encoded("uniform(6)", noise({5, 7}, 3)),
                c = encoded("sparse(2:4)", noise({7, 30}, 4));
  const ProductForm p({a, b, c});
  const Matrix expected = times(times(decode(*a), decode(*b)), decode(*c));
  const Matrix got = decode(p);
  for (size_t i = 0; i < got.values.size(); ++i)
    EXPECT_NEAR(got.values[i], expected.values[i], 1e-8);
  expect_multiplies(p);
  EXPECT_THROW(ProductForm({a, c}), Error);
  EXPECT_THROW(ProductForm({a}), Error);
}

TEST(Product, LowRankIsAProductOfTwo) {
  const Matrix m = times(noise({100, 3}, 5), noise({3, 120}, 6));
  EXPECT_LT(squared_error("lowrank(3)", m), 1e-6);
  EXPECT_LT(squared_error("dense(f16) * rank(3) * dense(f16)", m), 1e-6);
  EXPECT_GT(squared_error("lowrank(2)", m), 1e-3);
  EXPECT_EQ(to_string(encoded("lowrank(3)", m)->expression()), "lowrank(3, factors=dense(f16))");
  EXPECT_EQ(to_string(encoded("dense(f16) * rank(3) * dense(f32)", m)->expression()),
            "dense(f16) * rank(3) * dense(f32)");
  expect_multiplies(*encoded("lowrank(7, factors=uniform(8))", m));
}

TEST(Product, RoundedFactorsMakeUpForEachOther) {
  const Matrix m = times(noise({96, 8}, 7), noise({8, 128}, 8));
  // The first factor is fitted beside what the second one was rounded to.
  EXPECT_LT(squared_error("dense(f16) * rank(8) * uniform(4, group=8)", m),
            squared_error("lowrank(8, factors=uniform(4, group=8))", m) / 2);
}

TEST(Product, BlocksAroundSparseNeverFitWorse) {
  const Matrix m = noise({64, 128}, 9);
  const double pruned = squared_error("sparse(2:4)", m);
  const double both = squared_error("blockdiag(16) * sparse(2:4) * blockdiag(16)", m);
  EXPECT_LT(both, 0.95 * pruned);
  // What is such a product is found again in part: blocks that mix 2:4 sparse columns.
  const Matrix made = times(diagonal(64, 8, 10), decode(*encoded("sparse(2:4)", m)));
  EXPECT_LT(squared_error("blockdiag(8) * sparse(2:4)", made),
            squared_error("sparse(2:4)", made) / 2);
  expect_multiplies(*encoded("blockdiag(16) * sparse(2:4) * blockdiag(16)", m));
}

TEST(Product, DictionaryOfSparseCodesBeatsLowRankAtItsSize) {
  // Rows that are sums of a few of many directions.
  const Matrix dictionary = noise({64, 64}, 11);
  const Matrix codes = decode(*encoded("sparse(4:64, values=f32)", noise({64, 512}, 12)));
  const Matrix m = times(dictionary, codes);
  const char* const kSparse = "dense(f16) * sparse(10%)";
  const char* const kLow = "lowrank(16)";
  EXPECT_LT(bits_each(kSparse, m), 1.05 * bits_each(kLow, m));
  EXPECT_LT(squared_error(kSparse, m), 0.9 * squared_error(kLow, m));
}

TEST(Product, ShufflesBetweenBlocksReachEverywhere) {
  // A Monarch matrix has an entry everywhere.
  const Matrix m = noise({64, 64}, 13);
  const FormPtr f = encoded("blockdiag(8) * permutation(stride=8) * blockdiag(8)", m);
  EXPECT_LT(bits_each("blockdiag(8) * permutation(stride=8) * blockdiag(8)", m),
            16 * 2 * 8 / 64.0 + 1);
  EXPECT_LT(squared_error(*f, m), 0.9);
  expect_multiplies(*f);
}

TEST(Product, BlockDiagonals) {
  const Matrix m = diagonal(50, 8, 14);
  EXPECT_LT(squared_error("blockdiag(8)", m), 1e-6);
  EXPECT_LT(squared_error("blockdiag(8, values=uniform(8))", m), 1e-3);
  for (const Shape shape :
       {Shape{50, 50}, Shape{50, 33}, Shape{33, 50}, Shape{1, 9}, Shape{9, 1}}) {
    const Matrix w = noise(shape, 15);
    for (const auto* e : {"blockdiag", "blockdiag(8)", "blockdiag(blocks=3)", "blockdiag(1)",
                          "blockdiag(blocks=7, values=uniform(8, group=row))"}) {
      expect_multiplies(*encoded(e, w));
    }
  }
  EXPECT_NE(refusal("blockdiag(8, blocks=2)", m).find("left out beside `blocks`"),
            std::string::npos);
}

TEST(Product, RefusesWithThePlace) {
  const Matrix m = noise({4, 8}, 16);
  EXPECT_EQ(refusal("dense * rank(2)", m),
            "line 1, column 9: rank: stands once between two factors that meet there\n"
            "  dense * rank(2)\n"
            "          ^");
  EXPECT_NE(refusal("dense * rank(2) * rank(2) * dense", m).find("stands once"), std::string::npos);
  EXPECT_NE(refusal("blockdiag * blockdiag", m).find("square factors alone cannot be 4 x 8"),
            std::string::npos);
  EXPECT_NE(refusal("dense * nothing(2)", m).find("no form is called `nothing`"),
            std::string::npos);
  EXPECT_NE(refusal("permutation(seed=1)", m).find("square"), std::string::npos);
}

// Counts what the input of a factor takes.
class Probe final : public Form {
 public:
  explicit Probe(Shape shape) : Form(shape) {}
  Expression expression() const override { return Expression::call("probe"); }
  void decode(uint64_t first, uint64_t last, float* out) const override {
    std::fill_n(out, (last - first) * shape().cols, 1.0f);
  }
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override {
    most_ = std::max(most_, x.vectors().shape.size() * sizeof(float));
    Form::multiply(x, first, last, out, stride);
  }
  std::string_view kind() const override { return "probe"; }
  void write_body(BodyWriter&) const override {}

  mutable uint64_t most_ = 0;  // bytes
};

TEST(Product, WhatIsBetweenFactorsStaysSmallHoweverLongTheBatch) {
  constexpr uint64_t kRank = 12;
  const auto probe = std::make_shared<Probe>(Shape{20, kRank});
  const ProductForm p({probe, encoded("dense(f32)", noise({kRank, 30}, 17))});
  const Matrix x = noise({1000, 30}, 18);
  Matrix y;
  apply(p, x.view(), y);
  EXPECT_EQ(probe->most_, kMostBatch * kRank * sizeof(float));  // not 1000 * kRank
  // And nothing is lost between the tiles.
  const Matrix w = decode(p);
  for (const uint64_t b : {0, 63, 64, 65, 999}) {
    double sum = 0;
    for (uint64_t c = 0; c < 30; ++c) sum += double{w.view().row(3)[c]} * x.view().row(b)[c];
    EXPECT_NEAR(y.view().row(b)[3], sum, 1e-6) << b;
  }
}

}  // namespace
}  // namespace pith::form
