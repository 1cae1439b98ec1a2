// A form that stands for its transpose.
#include "pith/form/transpose.h"

#include <gtest/gtest.h>

#include "test_matrices.h"

namespace pith::form {
namespace {

Matrix turned(const Matrix& m) {
  Matrix out({m.shape.cols, m.shape.rows});
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) out.row(c)[r] = m.view().row(r)[c];
  }
  return out;
}

TEST(Transpose, StandsForTheOtherWayRound) {
  const Matrix m = noise({300, 70}, 1);
  const FormPtr inner = encoded("uniform(4, group=16)", m);
  const FormPtr form = transpose_of(inner);
  EXPECT_EQ(form->shape(), (Shape{70, 300}));
  EXPECT_EQ(decode(*form).values, turned(decode(*inner)).values);
  EXPECT_EQ(transposed(*form), inner.get());
  EXPECT_EQ(transposed(*inner), nullptr);
  EXPECT_EQ(to_string(form->expression()), "transpose(uniform(4, group=16))");
  Matrix part({3, 300});
  form->decode(10, 13, part.values.data());
  for (uint64_t i = 0; i < part.values.size(); ++i) {
    EXPECT_EQ(part.values[i], decode(*form).values[10 * 300 + i]);
  }
  const Bytes stored = write(*form);
  EXPECT_EQ(decode(*read(stored, nullptr)).values, decode(*form).values);
  EXPECT_LT(bits(*form), bits(*inner) + 8 * 128);
  // Groups lie where the other form has them.
  EXPECT_EQ(decode(*encoded("transpose(uniform(4, group=16))", turned(m))).values,
            decode(*form).values);
}

TEST(Transpose, MultipliesOnAnyNumberOfThreads) {
  const Matrix m = noise({40, 2500}, 2), x = noise({5, 40}, 3);
  const FormPtr form = transpose_of(encoded("dense(f32)", m));
  Matrix one, three;
  apply(*form, x.view(), one, 1);
  apply(*form, x.view(), three, 3);
  EXPECT_EQ(one.values, three.values);
  for (uint64_t b = 0; b < 5; ++b) {
    for (uint64_t r = 0; r < 2500; r += 499) {
      double sum = 0;
      for (uint64_t c = 0; c < 40; ++c) sum += double{x.view().row(b)[c]} * m.view().row(c)[r];
      EXPECT_NEAR(one.view().row(b)[r], sum, 1e-4);
    }
  }
}

TEST(Transpose, RefusesWhatIsDamaged) {
  const Bytes stored = write(*transpose_of(encoded("dense(f16)", noise({6, 9}, 1))));
  for (size_t n = 0; n < stored.size(); ++n) {
    EXPECT_THROW(read(ByteView(stored).first(n), nullptr), Error) << n;
  }
  EXPECT_THROW(encoded("transpose(uniform(4), 2)", noise({6, 9}, 1)), Error);
  EXPECT_THROW(encoded("transpose", noise({6, 9}, 1)), Error);
}

}  // namespace
}  // namespace pith::form
