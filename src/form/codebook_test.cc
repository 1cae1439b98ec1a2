#include "codebook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "code_stream.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

TEST(CodeStream, GivesBackEveryWidthFromEveryPlace) {
  for (int bits = 1; bits <= 16; ++bits) {
    std::mt19937 random(static_cast<uint32_t>(bits));
    std::vector<uint16_t> codes(200);
    for (uint16_t& c : codes) c = static_cast<uint16_t>(random() & ((1u << bits) - 1));
    const CodeStream stream(200, bits, Buffer(CodeStream::pack(codes, bits)));
    for (uint64_t first = 0; first < 200; first += 7) {
      std::vector<uint16_t> some(200 - first);
      stream.get(first, some.size(), some.data());
      EXPECT_TRUE(std::equal(some.begin(), some.end(), codes.begin() + static_cast<int64_t>(first)))
          << bits << " " << first;
    }
    EXPECT_THROW(CodeStream(201 + 64, bits, stream.stored()), Error);
  }
}

TEST(Codebook, ScalarsReachTheLloydMaxError) {
  const Matrix m = noise({64, 1024}, 1);
  EXPECT_NEAR(squared_error("codebook(4)", m), 0.1175, 0.003);
  EXPECT_NEAR(squared_error("codebook(16)", m), 0.0095, 0.0004);
  EXPECT_NEAR(squared_error("codebook(256)", m), 4.2e-5, 0.8e-5);
}

TEST(Codebook, LongerVectorsAreNearerAtTheSameRate) {
  const Matrix m = noise({256, 512}, 2);
  const double scalar = squared_error("codebook(4)", m),
               pairs = squared_error("codebook(16, dim=2)", m),
               fours = squared_error("codebook(256, dim=4)", m);
  EXPECT_LT(pairs, scalar * 0.97);
  EXPECT_LT(fours, pairs * 0.97);
}

TEST(Codebook, StagesAddBitsAndFittingThemTogetherHelps) {
  const Matrix m = noise({128, 512}, 3);
  const double one = squared_error("codebook(64, dim=4)", m),
               two = squared_error("codebook(64, dim=4, stages=2)", m),
               together = squared_error("codebook(64, dim=4, stages=2, fit=additive)", m);
  EXPECT_LT(two, one / 2);
  EXPECT_LT(together, two * 0.97);
}

TEST(Codebook, ProductQuantizationGivesEachSubspaceItsOwn) {
  // Columns of very different size: a shared codebook spends its entries on the largest.
  Matrix m = noise({512, 32}, 4);
  for (uint64_t r = 0; r < 512; ++r) {
    for (uint64_t c = 0; c < 32; ++c) m.row(r)[c] *= std::exp2(static_cast<float>(c / 4));
  }
  const auto small = [&](std::string_view expression) {
    const Matrix got = decode(*encode(parse(expression), m.view()));
    double e = 0;
    for (uint64_t r = 0; r < 512; ++r) e += std::pow(m.row(r)[0] - got.view().row(r)[0], 2);
    return e;
  };
  EXPECT_LT(small("codebook(64, dim=4, columns=4)"), small("codebook(64, dim=4)") / 4);
}

TEST(Codebook, EachRowItsOwn) {
  Matrix m = noise({4, 512}, 5);
  for (float& v : m.row(2)) v = std::fabs(v) * 1000;
  EXPECT_LT(squared_error("codebook(16, rows=1)", m), 0.012);
  EXPECT_NEAR(squared_error("codebook(16, group=row)", noise({8, 512}, 6)), 0.0095, 0.001);
}

TEST(Codebook, SizesAreWhatTheyShouldBe) {
  const Matrix m = noise({512, 1024}, 7);
  const auto rate = [&](std::string_view expression) {
    return static_cast<double>(bits(*encode(parse(expression), m.view()))) / (512 * 1024);
  };
  EXPECT_NEAR(rate("codebook(16)"), 4, 0.01);
  EXPECT_NEAR(rate("codebook(256, dim=8)"), 1 + 256 * 8 * 16 / (512 * 1024.0), 0.01);
  EXPECT_NEAR(rate("codebook(256, dim=8, entries=i8)"), 1 + 256 * 8 * 8 / (512 * 1024.0), 0.01);
  EXPECT_NEAR(rate("codebook(300, dim=4, stages=2, group=64)"),
              2 * 9 / 4.0 + 0.25 + 2 * 300 * 4 * 16 / (512 * 1024.0), 0.01);
}

TEST(Codebook, FormsShareOne) {
  const Matrix m = noise({8, 64}, 8);
  const auto made =
      std::dynamic_pointer_cast<const CodebookForm>(encode(parse("codebook(16, dim=2)"), m.view()));
  const std::vector<uint16_t> codes(3 * 10, 5);
  CodebookParameters p;
  p.codebook.size = 16;
  p.codebook.dim = 2;
  const CodebookForm other({3, 20}, p, made->codebook(), Buffer(Bytes()),
                           Buffer(CodeStream::pack(codes, 4)));
  EXPECT_EQ(other.codebook().get(), made->codebook().get());
  EXPECT_EQ(decode(other).values[7], made->codebook()->table(0, 0)[5 * 2 + 1]);
  p.codebook.size = 32;
  EXPECT_THROW(CodebookForm({3, 20}, p, made->codebook(), Buffer(Bytes()),
                            Buffer(CodeStream::pack(codes, 5))),
               Error);
}

TEST(Codebook, TablesOfProductsAndDecodedTilesAgree) {
  // Enough rows that products with the entries are made first.
  for (const auto* expression :
       {"codebook(256, dim=8)", "codebook(16, dim=2, group=32)", "codebook(50, dim=3, stages=2)",
        "codebook(32, dim=4, columns=20, fit=additive, stages=2)"}) {
    const Matrix m = noise({1100, 100}, 9);
    const FormPtr form = encode(parse(expression), m.view());
    const Matrix x = noise({3, 100}, 10), decoded = decode(*form);
    Matrix all;
    apply(*form, x.view(), all);
    for (uint64_t b = 0; b < 3; ++b) {
      Matrix one;
      apply(*form, {x.view().row(b).data(), {1, 100}}, one, 2);
      for (uint64_t r = 0; r < 1100; ++r) {
        const auto w = decoded.view().row(r);
        const double exact = std::inner_product(w.begin(), w.end(), x.view().row(b).begin(), 0.0);
        EXPECT_NEAR(one.values[r], exact, 1e-6) << expression;
        EXPECT_NEAR(all.view().row(b)[r], exact, 1e-6) << expression;
      }
    }
  }
}

TEST(Codebook, IsTheSameOnEveryInstructionSet) {
  const Matrix m = noise({40, 96}, 11);
  for (const auto* expression : {"codebook(16)", "codebook(5)", "codebook(100, dim=8, stages=2)"}) {
    expect_same_on_every_target(expression, m);
  }
}

TEST(Codebook, LargeAndSmallNumbers) {
  for (const float size : {1e-38f, 1e-20f, 1e18f, 1e37f}) {
    Matrix m = noise({16, 64}, 12);
    for (float& v : m.values) v = v / 0.02f * size;
    const Matrix got = decode(*encode(parse("codebook(16, dim=2)"), m.view()));
    for (size_t i = 0; i < m.values.size(); ++i)
      EXPECT_LT(std::fabs(m.values[i] - got.values[i]), 3 * size);
  }
}

TEST(Codebook, RefusesWithThePlace) {
  EXPECT_NE(refusal("codebook(1)").find("`size` must be an integer from 2 to 65536, got 1"),
            std::string::npos);
  EXPECT_NE(refusal("codebook(16, dim=4, group=6)").find("`group` must be a multiple of 4"),
            std::string::npos);
  EXPECT_NE(refusal("codebook(16, dim=4, columns=6)").find("`columns` must be a multiple of 4"),
            std::string::npos);
  EXPECT_NE(refusal("codebook(16, fit=additive)").find("`fit` must be `residual` for a single"),
            std::string::npos);
  EXPECT_NE(refusal("codebook(16, scales=f32)").find("`scales` must be left out"),
            std::string::npos);
  EXPECT_NE(refusal("codebook(16, entries=f8)").find("`entries` must be `f16` or `i8`"),
            std::string::npos);
  EXPECT_NE(refusal("codebook(16, fit=additive)").find("^"), std::string::npos);
}

TEST(Codebook, CodesBeyondItsEndAreZero) {
  CodebookParameters p;
  p.codebook.size = 3;
  const auto codebook = Codebook::rounded(p.codebook, {{1, 2, 3}});
  const std::vector<uint16_t> codes = {0, 1, 2, 3};
  const CodebookForm form({1, 4}, p, codebook, Buffer(Bytes()), Buffer(CodeStream::pack(codes, 2)));
  EXPECT_EQ(decode(form).values, (std::vector<float>{1, 2, 3, 0}));
}

TEST(Codebook, ZeroSizes) {
  for (const Shape shape : {Shape{0, 0}, Shape{0, 5}, Shape{5, 0}, Shape{1, 1}}) {
    const Matrix m = noise(shape, 13);
    for (const auto* e : {"codebook(16)", "codebook(256, dim=8, rows=2)",
                          "codebook(4, dim=2, stages=2, group=4)", "codebook(4, group=tensor)"}) {
      const FormPtr form = encode(parse(e), m.view());
      EXPECT_EQ(decode(*read(write(*form), nullptr)).values.size(), shape.size()) << e;
    }
  }
}

}  // namespace
}  // namespace pith::form
