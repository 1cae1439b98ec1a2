// Weighted sums of rows, against rows that were decoded.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "test_matrices.h"

namespace pith::form {
namespace {

constexpr uint64_t kGap = 3;  // between vectors

struct Sums {
  std::vector<float> weights, out;
  uint64_t weight_stride, stride, batch;

  Sums(Shape shape, uint64_t n, uint32_t seed)
      : weight_stride(shape.rows + kGap), stride(shape.cols + kGap), batch(n) {
    weights = noise({n, weight_stride}, seed, 1).values;
    out = noise({n, stride}, seed + 1, 0.5F).values;
  }
  RowSums view() { return {weights.data(), weight_stride, batch, out.data(), stride}; }
};

// What is added is off by less than this share of the sum of its terms' sizes.
void expect_sums(std::string_view expression, Shape shape, uint64_t batch, double share) {
  SCOPED_TRACE(std::string(expression) + " " + std::to_string(shape.rows) + " x " +
               std::to_string(shape.cols));
  const Matrix m = noise(shape, 3, 1);
  const FormPtr form = encoded(expression, m);
  const Matrix rows = decode(*form);
  Sums s(shape, batch, 5);
  const std::vector<float> before = s.out;
  form->add_rows(s.view());
  for (uint64_t b = 0; b < batch; ++b) {
    double most = 0;
    for (uint64_t r = 0; r < shape.rows; ++r)
      most = std::max(most, std::fabs(double{s.weights[b * s.weight_stride + r]}));
    for (uint64_t c = 0; c < s.stride; ++c) {
      double wanted = before[b * s.stride + c], size = std::fabs(wanted);
      for (uint64_t r = 0; r < shape.rows && c < shape.cols; ++r) {
        const double x = rows.view().row(r)[c];
        wanted += s.weights[b * s.weight_stride + r] * x;
        size += most * std::fabs(x);
      }
      ASSERT_NEAR(s.out[b * s.stride + c], wanted, share * size) << b << " " << c;
    }
  }
}

void expect_products(std::initializer_list<const char*> forms, double share) {
  for_each_target([&](int64_t target) {
    SCOPED_TRACE(hwy::TargetName(target));
    for (const char* form : forms) {
      const bool blocks = std::string_view(form).starts_with("ggml");
      for (const Shape shape : {Shape{1, 32}, {20, 32}, {64, 128}, {131, 64}, {37, 96}})
        expect_sums(form, shape, 1 + shape.rows % 8, share);
      for (const Shape shape : {Shape{6, 1}, {16, 6}, {5, 20}, {128, 80}, {80, 127}, {0, 5}}) {
        if (!blocks) expect_sums(form, shape, 3, share);
      }
    }
  });
}

TEST(AddRows, IsTheTransposedProduct) {
  expect_products(
      {"uniform(5, group=row)", "uniform(6, group=48)", "uniform(7, group=tensor)",
       "uniform(8, group=32)", "uniform(4, group=32) > rans", "uniform(4, grid=nf4)", "ggml(q8_0)",
       "ggml(q4_1)", "dense(f16)", "dense(bf16)", "dense(f32)", "constant", "zeros", "sparse(50%)",
       "sparse(3%)", "lowrank(3)", "dct | uniform(6)", "dct * sparse(40%)", "pca(2) | dense"},
      1e-4);
}

// Weights have a byte beside codes of so few bits.
TEST(AddRows, OfFewBitsIsNearTheTransposedProduct) {
  expect_products(
      {"uniform(1, group=32)", "uniform(2, group=16)", "uniform(3, group=32)", "uniform(4)",
       "uniform(4, group=20)", "uniform(4, group=32, zero=true)",
       "uniform(3, group=16, scales=uniform(4))", "ggml(q4_0)",
       "uniform(2) + lowrank(2) + sparse(2%)", "hadamard(seed=3) | uniform(4)",
       "tiles(part(uniform(4), rows=0..3), part(dense, rows=3.., cols=0..4), part(uniform(3), "
       "rows=3.., cols=4..))"},
      1e-2);
}

// As a softmax gives them where one token has nearly all attention.
TEST(AddRows, ManySmallWeightsBesideALargeOneKeepTheirSum) {
  Matrix m({128, 32});
  std::ranges::fill(m.values, 1.0F);
  for (const char* form : {"uniform(4, group=32)", "ggml(q4_0)"}) {
    const FormPtr f = encoded(form, m);
    std::vector<float> weights(128, 1e-3F), out(32);
    weights[40] = 1;
    f->add_rows({weights.data(), 128, 1, out.data(), 32});
    EXPECT_NEAR(out[3], 1.127 * decode(*f).view().row(0)[3], 0.03) << form;
  }
}

TEST(AddRows, OfAVectorDoNotDependOnTheOthers) {
  for (const char* form : {"uniform(4, group=32)", "ggml(q4_0)", "ggml(q8_0)", "dense(f16)"}) {
    const Matrix m = noise({100, 96}, 1, 1);
    const FormPtr f = encoded(form, m);
    Sums all(m.shape, 7, 2), one = all;
    f->add_rows(all.view());
    for (uint64_t b = 0; b < 7; ++b) {
      RowSums s = one.view();
      s.weights += b * s.weight_stride;
      s.out += b * s.stride;
      s.batch = 1;
      f->add_rows(s);
    }
    EXPECT_EQ(all.out, one.out) << form;
  }
}

TEST(AddRows, WeightsOfAnySize) {
  const Matrix m = noise({40, 64}, 1, 1);
  for (const char* form : {"uniform(4, group=32)", "ggml(q8_0)", "dense(f16)"}) {
    const FormPtr f = encoded(form, m);
    const auto sums = [&](float weight) {
      Sums s(m.shape, 1, 2);
      std::ranges::fill(s.out, 1.0F);
      std::ranges::fill(s.weights, 0.0F);
      s.weights[7] = weight;
      f->add_rows(s.view());
      return s.out;
    };
    EXPECT_EQ(sums(0), std::vector<float>(64 + kGap, 1.0F));
    EXPECT_NEAR(sums(1e-40F)[5], 1, 1e-6);
    EXPECT_NEAR(sums(1e30F)[5] / 1e30F, decode(*f).view().row(7)[5], 1e-3);
    EXPECT_TRUE(std::isnan(sums(NAN)[5])) << form;
  }
}

}  // namespace
}  // namespace pith::form
