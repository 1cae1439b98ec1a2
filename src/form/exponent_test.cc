// `dense > exponent`: every bit comes back, products are those of the dense form, and damage stays
// within bounds.
#include "exponent.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "noise_matrix.h"
#include "pith/form/form.h"
#include "targets_testing.h"

namespace pith::form {
namespace {

enum class Content { kNormal, kAnyBits, kEscapesOnly, kOneValue, kRowsApart, kSpecial };
constexpr Content kContents[] = {Content::kNormal,   Content::kAnyBits,   Content::kEscapesOnly,
                                 Content::kOneValue, Content::kRowsApart, Content::kSpecial};

Bytes elements(Content content, bool half, Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  const uint16_t special[] = {0,      0x8000, 0x7F80, 0xFF80, 0x7F81, 0xFFC1,
                              0x7C00, 0xFC00, 0x7C01, 0xFE01, 0x0001, 0x80FF};
  Bytes out;
  for (uint64_t i = 0; i < shape.size(); ++i) {
    float f = normal(random);
    auto any = static_cast<uint16_t>(random());
    if (content == Content::kRowsApart) f = std::ldexp(f, static_cast<int>(i / shape.cols % 9) - 4);
    uint16_t v = half ? std::bit_cast<uint16_t>(static_cast<_Float16>(f))
                      : static_cast<uint16_t>(std::bit_cast<uint32_t>(f) >> 16);
    if (content == Content::kAnyBits) v = any;
    if (content == Content::kOneValue) v = 0x3C00;
    if (content == Content::kSpecial && any % 3 == 0) v = special[any % 12];
    // In the tables are seven small exponents, which come once at first.
    if (content == Content::kEscapesOnly) v = static_cast<uint16_t>((8 + any % 16) << 10);
    ByteWriter(out).u16(v);
  }
  return out;
}

std::shared_ptr<const DenseForm> dense(Content content, bool half, Shape shape, uint32_t seed = 1) {
  return std::make_shared<DenseForm>(shape, half ? DType::kF16 : DType::kBF16,
                                     Buffer(elements(content, half, shape, seed)));
}

// Coded even where that is larger.
FormPtr coded(const DenseForm& form) {
  ExponentTables tables = choose_exponent_tables(form);
  return std::make_shared<ExponentForm>(form.shape(), exponent_codes(form, tables));
}

FormPtr all_escaped(const DenseForm& form) {
  ExponentTables tables{form.shape().rows, Bytes(kTableBytes), form.shape().size()};
  return std::make_shared<ExponentForm>(form.shape(), exponent_codes(form, tables));
}

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float v : values)
    bits.push_back(std::isnan(v) ? 0x7FC00000 : std::bit_cast<uint32_t>(v));
  return bits;
}

std::vector<uint32_t> decoded_bits(const Form& form) {
  std::vector<uint32_t> bits;
  for (const float v : decode(form).values) bits.push_back(std::bit_cast<uint32_t>(v));
  return bits;
}

Matrix vectors(uint64_t batch, uint64_t cols) { return noise({batch, cols}, 3, 1); }

const Shape kShapes[] = {{1, 1},   {3, 63},  {2, 64},  {5, 65},   {4, 150},
                         {17, 16}, {7, 511}, {3, 512}, {33, 513}, {5, 1100}};

TEST(Exponent, EveryBitComesBackOnEveryInstructionSet) {
  for (const bool half : {false, true}) {
    for (const Content content : kContents) {
      for (const Shape shape : kShapes) {
        const auto plain = dense(content, half, shape);
        const FormPtr forms[] = {coded(*plain), all_escaped(*plain)};
        const std::vector<uint32_t> want = decoded_bits(*plain);
        for_each_target([&](int64_t) {
          for (const FormPtr& form : forms) ASSERT_EQ(decoded_bits(*form), want);
        });
      }
    }
  }
}

TEST(Exponent, EveryWordOfSixteenBitsComesBack) {
  Bytes all;
  for (uint32_t v = 0; v < 0x10000; ++v) ByteWriter(all).u16(static_cast<uint16_t>(v));
  for (const DType type : {DType::kBF16, DType::kF16}) {
    const DenseForm plain({64, 1024}, type, Buffer(all));
    EXPECT_EQ(decoded_bits(*coded(plain)), decoded_bits(plain));
  }
}

TEST(Exponent, ProductsAreThoseOfTheDenseFormToTheBit) {
  for (const bool half : {false, true}) {
    for (const Content content : kContents) {
      for (const Shape shape : kShapes) {
        const auto plain = dense(content, half, shape);
        const FormPtr forms[] = {coded(*plain), all_escaped(*plain)};
        for (const uint64_t batch : {1, 2, 3, 4, 5, 6, 7, 20, 70}) {
          const Matrix x = vectors(batch, shape.cols);
          for_each_target([&](int64_t) {
            Matrix want, got;
            apply(*plain, x.view(), want);
            for (const FormPtr& form : forms) {
              apply(*form, x.view(), got);
              ASSERT_EQ(bits_of(got.values), bits_of(want.values)) << shape.cols << " " << batch;
            }
          });
        }
      }
    }
  }
}

TEST(Exponent, RowsCanBeTakenInAnyPieces) {
  const auto plain = dense(Content::kRowsApart, false, {101, 200});
  const FormPtr form = coded(*plain);
  const Matrix x = vectors(2, 200), all = decode(*plain);
  Matrix y;
  apply(*plain, x.view(), y, 2);
  Activations activations(x.view());
  for (uint64_t first = 0; first < 101; first += 7) {
    const uint64_t last = std::min<uint64_t>(first + 7, 101), n = last - first;
    std::vector<float> some(n * 200), product(2 * n);
    form->decode(first, last, some.data());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.view().row(first).data()));
    form->multiply(activations, first, last, product.data(), n);
    for (uint64_t b = 0; b < 2; ++b) {
      for (uint64_t r = 0; r < n; ++r) EXPECT_EQ(product[b * n + r], y.view().row(b)[first + r]);
    }
  }
}

TEST(Exponent, SizesAreWhatTheyShouldBe) {
  const Shape shape{512, 2048};
  const auto bits_each = [&](const FormPtr& form) {
    return static_cast<double>(bits(*form)) / static_cast<double>(shape.size());
  };
  const Expression coder = Expression::call("exponent");
  EXPECT_NEAR(bits_each(ExponentForm::code(coder, dense(Content::kNormal, false, shape))), 11.19,
              0.02);
  EXPECT_NEAR(bits_each(ExponentForm::code(coder, dense(Content::kNormal, true, shape))), 14.19,
              0.02);
  // Tables of their own for rows of other sizes: no more escapes than with one size.
  EXPECT_NEAR(bits_each(ExponentForm::code(coder, dense(Content::kRowsApart, false, shape))), 11.22,
              0.02);
  // Never much more than the elements themselves.
  EXPECT_LE(bits_each(ExponentForm::code(coder, dense(Content::kAnyBits, false, shape))), 16.01);
  EXPECT_LE(bits(*ExponentForm::code(coder, dense(Content::kAnyBits, true, {1, 1}))), 8 * 192u);
}

TEST(Exponent, IsWrittenAndReadAndNeedsNoCopy) {
  for (const bool half : {false, true}) {
    for (const Content content : {Content::kNormal, Content::kAnyBits}) {
      const auto plain = dense(content, half, {70, 300});
      const FormPtr form = ExponentForm::code(Expression::call("exponent"), plain);
      const Bytes stored = write(*form);
      const FormPtr again = read(stored, nullptr);
      EXPECT_EQ(to_string(again->expression()),
                half ? "dense(f16) > exponent" : "dense(bf16) > exponent");
      EXPECT_EQ(decoded_bits(*again), decoded_bits(*plain));
      EXPECT_EQ(write(*again), stored);
    }
  }
}

TEST(Exponent, TheNotationMakesItFromFloats) {
  const auto plain = dense(Content::kSpecial, false, {40, 333});
  const Matrix floats = decode(*plain);
  const FormPtr form = encode(parse("dense(bf16) > exponent"), floats.view());
  EXPECT_EQ(decoded_bits(*form), decoded_bits(*plain));
  const FormPtr empty = encode(parse("dense(f16) > exponent"), Matrix({0, 5}).view());
  EXPECT_EQ(read(write(*empty), nullptr)->shape(), (Shape{0, 5}));
}

std::string message(std::string_view expression) {
  try {
    encode(parse(expression), Matrix({2, 2}).view());
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "";
}

TEST(Exponent, RefusesWhatHasNoShortExponents) {
  EXPECT_NE(message("dense(f32) > exponent").find("not `dense(f32)`"), std::string::npos);
  EXPECT_NE(message("uniform(4) > exponent").find("exponent codes dense(bf16)"), std::string::npos);
  EXPECT_NE(message("dense(bf16) > exponent(3)").find("exponent"), std::string::npos);
  EXPECT_NE(message("dense(bf16) > zip").find("no coder is called `zip`"), std::string::npos);
}

// Codes, starts and escapes are not looked at when they are read: whatever they say, no byte
// outside is touched (the sanitizers watch), and all instruction sets make the same of it.
TEST(Exponent, DamageGivesSomeMatrixTheSameEverywhere) {
  std::mt19937 random(5);
  for (const bool half : {false, true}) {
    const auto plain = dense(Content::kSpecial, half, {9, 150});
    const Bytes stored = write(*coded(*plain));
    const Matrix x = vectors(2, 150);
    for (int i = 0; i < 300; ++i) {
      Bytes damaged = stored;
      for (int n = 0; n < 20; ++n) {
        damaged[100 + random() % (damaged.size() - 100)] =
            static_cast<uint8_t>(random() % 2 ? 0xFF : random());
      }
      FormPtr form;
      try {
        form = read(damaged, nullptr);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kData);
        continue;
      }
      const std::vector<uint32_t> want = decoded_bits(*form);
      for_each_target([&](int64_t) {
        Matrix y;
        ASSERT_EQ(decoded_bits(*form), want);
        apply(*form, x.view(), y);
      });
    }
  }
}

TEST(Exponent, RefusesArraysOfOtherSizes) {
  const Bytes stored = write(*coded(*dense(Content::kNormal, false, {3, 70})));
  const size_t parameters = 1 + std::string_view("exponent").size() + 2;
  for (size_t i = parameters; i < parameters + 5; ++i) {
    for (const uint8_t v : {0, 2, 5, 64, 127}) {
      Bytes damaged = stored;
      if (damaged[i] == v) continue;
      damaged[i] = v;
      try {
        decode(*read(damaged, nullptr));
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kData);
      }
    }
  }
  for (const size_t cut : {size_t{1}, size_t{64}, stored.size() - parameters}) {
    EXPECT_THROW(read(ByteView(stored).first(stored.size() - cut), nullptr), Error);
  }
}

}  // namespace
}  // namespace pith::form
