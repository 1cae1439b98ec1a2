// Patterns of sparse forms: which elements they keep, what they take, what they refuse.
#include <gtest/gtest.h>

#include <algorithm>

#include "test_matrices.h"
#include "uneven_rows.h"

namespace pith::form {
namespace {

uint64_t kept(const Matrix& m) {
  return static_cast<uint64_t>(std::ranges::count_if(m.values, [](float v) { return v != 0; }));
}

TEST(Sparse, SizesAreWhatTheyShouldBe) {
  const Matrix m = noise({256, 1024}, 1);
  EXPECT_NEAR(bits_each("sparse(1%)", m), 0.32 + 0.03125, 0.02);
  EXPECT_NEAR(bits_each("sparse(50%)", m), 1 + 8, 0.02);
  EXPECT_NEAR(bits_each("sparse(2:4)", m), 1 + 8, 0.01);
  EXPECT_NEAR(bits_each("sparse(4:8)", m), 1 + 8, 0.01);
  EXPECT_NEAR(bits_each("sparse(1:4)", m), 0.5 + 4, 0.08);   // two bits an index
  EXPECT_NEAR(bits_each("sparse(2:16)", m), 0.5 + 2, 0.08);  // four
  EXPECT_NEAR(bits_each("sparse(1:8, values=bf16)", m), 3 / 8.0 + 2, 0.08);
  EXPECT_NEAR(bits_each("sparse(50%, block=16)", m), 1 / 16.0 + 8, 0.01);
  EXPECT_NEAR(bits_each("sparse(25%, block=16, height=16)", m), 1 / 256.0 + 4, 0.01);
  EXPECT_NEAR(bits_each("sparse(25%, pattern=rows)", m), 4, 0.02);
  EXPECT_NEAR(bits_each("sparse(25%, pattern=columns)", m), 4, 0.02);
  EXPECT_NEAR(bits_each("sparse(2:4, values=uniform(4, group=64))", m), 1 + 2.125, 0.01);
  EXPECT_NEAR(bits_each("sparse(50%, values=uniform(4, group=64))", m), 1 + 2.125, 0.02);
}

TEST(Sparse, SmallBlocksShareLines) {
  const Matrix m = noise({64, 512}, 3);
  // Codes lie in runs of 32 columns: a block of 16 by itself would leave half of each empty.
  EXPECT_NEAR(bits_each("sparse(50%, block=16, values=uniform(4, group=16))", m),
              1 / 16.0 + 0.5 * (4 + 1), 0.05);
  for (const char* e :
       {"sparse(40%, block=16, values=uniform(4, group=16))", "sparse(40%, block=4, height=8)",
        "sparse(1%, block=16)", "sparse(40%, block=24, values=f32)"}) {
    const FormPtr f = encoded(e, m);
    expect_multiplies(*f);
    expect_refuses_truncation(*f);
    EXPECT_EQ(decode(*read(write(*f), nullptr)).values, decode(*f).values);
  }
}

// Rows of very different work are cut where as many blocks are on either side.
TEST(Sparse, BlocksAreSharedOutEvenly) {
  Matrix m({512, 256});
  for (uint64_t r = 0; r < 512; ++r) {
    for (uint64_t c = 0; c < 256; ++c) m.row(r)[c] = r < 32 || c < 4 ? 1.0f + float(c) : 1e-6f;
  }
  const FormPtr f = encoded("sparse(10%, block=16, values=f32)", m);
  const Matrix x = noise({1, 256}, 1);
  const Activations in(x.view());
  const auto* uneven = dynamic_cast<const UnevenRows*>(f.get());
  ASSERT_NE(uneven, nullptr);
  std::vector<uint64_t> begins;
  for (uint64_t part = 0; part <= 4; ++part) begins.push_back(uneven->part_begin(in, part, 4));
  EXPECT_EQ(begins.front(), 0u);
  EXPECT_EQ(begins.back(), 512u);
  EXPECT_TRUE(std::ranges::is_sorted(begins));
  EXPECT_LT(begins[2], 40u);
  Matrix one, two;
  apply(*f, x.view(), one, 1);
  apply(*f, x.view(), two, 2);
  EXPECT_EQ(one.values, two.values);
}

TEST(Sparse, KeepsTheLargest) {
  Matrix m({4, 8});
  for (size_t i = 0; i < 32; ++i)
    m.values[i] = static_cast<float>(i % 2 ? i + 1 : -static_cast<double>(i) - 1);
  const auto got = [&](std::string_view e) { return decode(*encoded(e, m)); };
  for (const auto* e : {"sparse(25%)", "sparse(25%, pattern=csr)", "sparse(25%, pattern=rows)",
                        "sparse(25%, block=8)"}) {
    const Matrix d = got(e);
    EXPECT_EQ(kept(d), 8u) << e;
    EXPECT_TRUE(std::equal(d.values.begin() + 24, d.values.end(), m.values.begin() + 24)) << e;
  }
  for (const auto* e : {"sparse(25%, pattern=columns)", "sparse(25%, block=2, height=4)"}) {
    const Matrix d = got(e);
    EXPECT_EQ(kept(d), 8u) << e;
    for (uint64_t r = 0; r < 4; ++r) EXPECT_EQ(d.view().row(r)[6], m.view().row(r)[6]) << e;
  }
  const Matrix half = got("sparse(1:4)");
  for (uint64_t r = 0; r < 4; ++r) {
    for (uint64_t c = 0; c < 8; ++c)
      EXPECT_EQ(half.view().row(r)[c], c % 4 == 3 ? m.view().row(r)[c] : 0);
  }
}

TEST(Sparse, TiesGoToTheEarlierOne) {
  Matrix m({1, 4});
  m.values = {1, -1, 1, 1};
  EXPECT_EQ(decode(*encoded("sparse(2:4)", m)).values, (std::vector<float>{1, -1, 0, 0}));
  EXPECT_EQ(decode(*encoded("sparse(25%)", m)).values, (std::vector<float>{1, 0, 0, 0}));
}

TEST(Sparse, EveryPatternMultipliesOnEveryInstructionSet) {
  for (const Shape shape : {Shape{1, 1}, Shape{5, 63}, Shape{7, 64}, Shape{66, 331}}) {
    const Matrix m = noise(shape, 2);
    for (const auto* e :
         {"sparse(3%)", "sparse(30%, pattern=csr, values=f32)", "sparse(50%)",
          "sparse(90%, values=bf16)", "sparse(10%, values=f32)", "sparse(2:4)", "sparse(1:4)",
          "sparse(3:7, values=bf16)", "sparse(2:32, values=f32)", "sparse(100%)", "sparse(0%)",
          "sparse(30%, block=16)", "sparse(40%, block=5, height=3)",
          "sparse(60%, pattern=rows, values=uniform(8))", "sparse(60%, pattern=columns)",
          "sparse(2:4, values=uniform(4, group=16))", "sparse(20%, values=uniform(8, group=256))",
          "sparse(4%, values=uniform(5))"}) {
      expect_multiplies(*encoded(e, m));
    }
  }
}

TEST(Sparse, WideRowsHaveWideColumns) {
  Matrix m({2, 70000});
  m.row(0)[69999] = 3;
  m.row(1)[65536] = -2;
  const FormPtr f = encoded("sparse(0.01%)", m);
  EXPECT_EQ(decode(*f).values, m.values);
  expect_multiplies(*f);
}

TEST(Sparse, ValuesBeyondHalfPrecisionBecomeTheLargest) {
  Matrix m({1, 2});
  m.values = {1e6f, -1e30f};
  EXPECT_EQ(decode(*encoded("sparse(100%)", m)).values, (std::vector<float>{65504, -65504}));
  EXPECT_EQ(decode(*encoded("sparse(2:2, values=f32)", m)).values, m.values);
}

TEST(Sparse, PrunedAndQuantizedIsBothErrorsTogether) {
  const Matrix m = noise({64, 512}, 3);
  const double pruned = squared_error("sparse(2:4)", m);
  const double both = squared_error("sparse(2:4, values=uniform(4, group=64))", m);
  EXPECT_GT(both, pruned);
  EXPECT_LT(both, pruned + 2 * squared_error("uniform(4, group=64)", m));
  // More freedom keeps more of the matrix.
  EXPECT_LT(squared_error("sparse(50%)", m), squared_error("sparse(8:16)", m));
  EXPECT_LT(squared_error("sparse(8:16)", m), pruned);
  EXPECT_LT(pruned, squared_error("sparse(50%, block=16)", m));
}

TEST(Sparse, RefusesWithThePlace) {
  const Matrix m = noise({2, 8}, 4);
  EXPECT_EQ(refusal("sparse(4:2)", m),
            "line 1, column 8: sparse: `share` must be n:m with n up to m, got 4:2\n"
            "  sparse(4:2)\n"
            "         ^");
  EXPECT_NE(refusal("sparse(2:4, pattern=rows)", m).find("`pattern` must be left out beside n:m"),
            std::string::npos);
  EXPECT_NE(refusal("sparse(50%, pattern=rows, block=4)", m).find("left out beside `block`"),
            std::string::npos);
  EXPECT_NE(refusal("sparse(50%, pattern=diagonal)", m)
                .find("`csr`, `bitmap`, `rows` or `columns`, got diagonal"),
            std::string::npos);
  EXPECT_NE(refusal("sparse(50%, block=0)", m).find("an integer from 1 to 65536, got 0"),
            std::string::npos);
  EXPECT_NE(refusal("sparse(101%)", m).find("a share from 0% to 100%"), std::string::npos);
  EXPECT_NE(refusal("sparse(50%, values=f64)", m).find("no form is called `f64`"),
            std::string::npos);
}

TEST(Sparse, WhatDoesNotAgreeIsRefused) {
  const Matrix m = noise({3, 40}, 5);
  for (const auto* e : {"sparse(3%)", "sparse(50%)", "sparse(2:4)", "sparse(1:4)",
                        "sparse(50%, block=4)", "sparse(50%, pattern=columns)"}) {
    const FormPtr f = encoded(e, m);
    expect_refuses_truncation(*f);
    // Every bit but those of values and padding counts places: one more or one less is noticed,
    // or gives another form that can be used.
    const Bytes stored = write(*f);
    for (size_t i = 0; i < 8 * stored.size(); ++i) {
      Bytes damaged = stored;
      damaged[i / 8] = static_cast<uint8_t>(damaged[i / 8] ^ 1u << (i % 8));
      try {
        const FormPtr other = read(damaged, nullptr);
        if (other->shape() != f->shape()) continue;
        decode(*other);
        Matrix y;
        apply(*other, noise({1, 40}, 6).view(), y);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kData);
      }
    }
  }
}

}  // namespace
}  // namespace pith::form
