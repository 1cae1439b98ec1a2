#include "pith/form/integer_rows.h"

#include <gtest/gtest.h>

#include "noise_matrix.h"

namespace pith::form {
namespace {

TEST(IntegerRows, AreTheFormExactly) {
  const Matrix m = noise({37, 70}, 1);
  for (const char* text :
       {"uniform(8, group=row)", "uniform(4, group=70, scales=f32)", "uniform(3, group=tensor)",
        "uniform(4, group=row) > rans", "uniform(2, grid=ternary, group=row)"}) {
    const FormPtr form = encode(parse(text), m.view());
    const auto rows = integer_rows(*form);
    ASSERT_TRUE(rows) << text;
    const Matrix decoded = decode(*form);
    for (uint64_t i = 0; i < m.shape.size(); ++i) {
      ASSERT_EQ(rows->scales[i / 70] * static_cast<float>(rows->codes[i]), decoded.values[i])
          << text;
      ASSERT_GE(rows->scales[i / 70], 0);
      ASSERT_LE(std::abs(rows->codes[i]), 1 << (rows->bits - 1)) << text;
    }
  }
}

TEST(IntegerRows, AreNotInOtherForms) {
  const Matrix m = noise({16, 64}, 2);
  for (const char* text :
       {"uniform(4, group=32)", "uniform(4, group=row, zero=true)",
        "uniform(4, group=row, grid=nf4)", "dense(f32)", "uniform(8, group=row, grid=positive)",
        "hadamard | uniform(4, group=row)"}) {
    EXPECT_FALSE(integer_rows(*encode(parse(text), m.view()))) << text;
  }
}

}  // namespace
}  // namespace pith::form
