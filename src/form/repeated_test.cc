// The same block again and again on the diagonal, and codebooks in the making before it.
#include <gtest/gtest.h>

#include "pith/form/compose.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

template <class Function>
std::string why(const Function& function) {
  try {
    function();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// n blocks of 3 x 5, the last one cut off.
Matrix blocks(uint64_t cols) {
  const Matrix block = noise({3, 5}, 1);
  const uint64_t n = (cols + 4) / 5;
  Matrix m({3 * n, cols});
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      if (c / 5 == r / 3) m.row(r)[c] = block.view().row(r % 3)[c % 5];
    }
  }
  return m;
}

TEST(Repeated, StandsForItsBlocks) {
  for (const uint64_t cols : {5, 20, 23}) {
    const Matrix m = blocks(cols);
    const FormPtr form = encode(parse("repeated(5, values=f32)"), m.view());
    const Matrix got = decode(*form);
    for (uint64_t i = 0; i < m.values.size(); ++i) EXPECT_NEAR(got.values[i], m.values[i], 1e-6);
    EXPECT_LT(bits(*form), 8 * (4 * 15 + 128 + 64));
    EXPECT_EQ(to_string(form->expression()), "repeated(5, values=f32)");
    const Bytes stored = write(*form);
    EXPECT_EQ(write(*read(stored, nullptr)), stored);
    EXPECT_EQ(decode(*read(stored, nullptr)).values, got.values);
    for (const uint64_t batch : {1, 3}) {
      const Matrix x = noise({batch, cols}, 2);
      Matrix y;
      apply(*form, x.view(), y, 2);
      for (uint64_t b = 0; b < batch; ++b) {
        for (uint64_t r = 0; r < m.shape.rows; ++r) {
          double sum = 0;
          for (uint64_t c = 0; c < cols; ++c) sum += got.view().row(r)[c] * x.view().row(b)[c];
          EXPECT_NEAR(y.view().row(b)[r], sum, 1e-5);
        }
      }
    }
    Matrix part({2, cols});
    form->decode(1, 3, part.values.data());
    for (uint64_t i = 0; i < 2 * cols; ++i) EXPECT_EQ(part.values[i], got.values[cols + i]);
  }
}

TEST(Repeated, IsAFactor) {
  const Matrix w = noise({40, 32}, 3);
  const auto e = parse("codebook(16, dim=2) * rank(8) * repeated(8)");
  const FormPtr form = encode(e, w.view());
  EXPECT_EQ(form->expression(), e);
  EXPECT_EQ(decode(*read(write(*form), nullptr)).values, decode(*form).values);
}

TEST(Repeated, RefusesWhatDoesNotFit) {
  const Matrix m = noise({7, 20}, 1);
  EXPECT_NE(why([&] {
              encode(parse("repeated(5)"), m.view());
            }).find("7 rows are not shared evenly by 4 blocks"),
            std::string::npos);
  EXPECT_NE(why([&] { encode(parse("repeated(0)"), m.view()); }), "");
  const Bytes stored = write(*encode(parse("repeated(5)"), blocks(20).view()));
  for (size_t n = 0; n < stored.size(); ++n) {
    EXPECT_THROW(read(ByteView(stored).first(n), nullptr), Error);
  }
  for (size_t i = 0; i < stored.size(); ++i) {
    for (const uint8_t to : {0, 1, 0x7F, 0xFF}) {
      Bytes bad = stored;
      bad[i] = to;
      why([&] { decode(*read(bad, nullptr)); });
    }
  }
}

TEST(CodebookOf, IsWhatItIsMadeOf) {
  const std::vector<float> entries = {1, 2, -3, 0.5f, 8, -8};
  const std::vector<uint16_t> codes = {0, 2, 1, 1, 2, 0};
  const FormPtr form = codebook_of({2, 6}, 2, entries, codes);
  EXPECT_EQ(to_string(form->expression()), "codebook(3, dim=2)");
  EXPECT_EQ(decode(*form).values,
            (std::vector<float>{1, 2, 8, -8, -3, 0.5f, -3, 0.5f, 8, -8, 1, 2}));
  EXPECT_EQ(decode(*read(write(*form), nullptr)).values, decode(*form).values);
  // A last run that is cut off.
  EXPECT_EQ(decode(*codebook_of({2, 5}, 2, entries, codes)).values,
            (std::vector<float>{1, 2, 8, -8, -3, -3, 0.5f, 8, -8, 1}));
  const std::vector<uint16_t> high = {0, 3, 1, 1, 2, 0}, few = {0, 1};
  EXPECT_NE(why([&] { codebook_of({2, 6}, 2, entries, high); }), "");
  EXPECT_NE(why([&] { codebook_of({2, 6}, 2, entries, few); }), "");
  EXPECT_NE(why([&] { codebook_of({2, 6}, 4, entries, codes); }), "");
  EXPECT_NE(why([&] { codebook_of({2, 6}, 0, entries, codes); }), "");
}

}  // namespace
}  // namespace pith::form
