// Integers with steps of rows and columns, trellises, and how near they come to what is possible.
#include "integer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/form/integer_fit.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

// Fits all columns of all panels once, or twice; what choose() said is returned.
Matrix choose_all(IntegerFit& fit, const Matrix& m, double lambda) {
  Matrix said(m.shape);
  std::vector<float> wanted(64), values(64);
  for (uint64_t p = 0; p < fit.panels(); ++p) {
    const uint64_t n = std::min<uint64_t>(64, m.shape.rows - 64 * p);
    for (uint64_t c = 0; c < m.shape.cols; ++c) {
      for (uint64_t r = 0; r < n; ++r) wanted[r] = m.view().row(64 * p + r)[c];
      fit.choose(p, c, wanted.data(), lambda, values.data());
      for (uint64_t r = 0; r < n; ++r) said.row(64 * p + r)[c] = values[r];
    }
  }
  return said;
}

IntegerSteps random_steps(Shape shape, float step) {
  IntegerSteps steps{step, {}, {}};
  for (uint64_t r = 0; r < shape.rows; ++r)
    steps.rows.push_back(static_cast<int8_t>(r * 7 % 13) - 6);
  for (uint64_t c = 0; c < shape.cols; ++c)
    steps.columns.push_back(static_cast<int8_t>(c * 5 % 9) - 4);
  return steps;
}

TEST(Integer, WhatWasChosenIsWhatIsDecoded) {
  for (const int states : {1, 4, 8, 16, 32, 64, 128, 256}) {
    for (const Shape shape : {Shape{1, 1}, Shape{64, 33}, Shape{200, 150}, Shape{65, 700}}) {
      for (const float step : {0.0002f, 0.02f, 0.5f}) {
        Matrix m = noise(shape, 3, 1);
        m.values[shape.size() / 2] *= 1000;
        IntegerFit fit(parse("integer(states=" + std::to_string(states) + ") > rans"), m.view(),
                       random_steps(shape, step));
        choose_all(fit, m, fit.lambda());
        fit.update_costs();
        const Matrix said = choose_all(fit, m, fit.lambda());
        const FormPtr form = fit.form();
        EXPECT_EQ(decode(*form).values, said.values) << states << ' ' << step;
        EXPECT_EQ(fit.bits(), static_cast<double>(bits(*form)));
        const Bytes stored = write(*form);
        const FormPtr again = read(stored, nullptr);
        EXPECT_EQ(decode(*again).values, said.values);
        EXPECT_EQ(write(*again), stored);
      }
    }
  }
}

TEST(Integer, WithoutLambdaAndTrellisElementsAreRounded) {
  const Shape shape{100, 70};
  const Matrix m = noise(shape, 1, 1);
  const IntegerSteps steps = random_steps(shape, 0.1f);
  IntegerFit fit(parse("integer(states=1) > rans"), m.view(), steps);
  const Matrix said = choose_all(fit, m, 0);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; ++c) {
      const double step = 0.1 * std::exp2((steps.rows[r] + steps.columns[c]) / 4.0);
      EXPECT_LE(std::fabs(said.view().row(r)[c] - m.view().row(r)[c]), step / 2 * 1.0001);
    }
  }
}

TEST(Integer, BitsAskedForAreBitsGot) {
  const Matrix m = noise({256, 300}, 5);
  for (const double bits : {0.7, 2.0, 3.3, 6.0, 8.5}) {
    for (const int states : {1, 8}) {
      const std::string expression =
          "integer(" + std::to_string(bits) + ", states=" + std::to_string(states) + ") > rans";
      EXPECT_NEAR(bits_each(expression, m), bits, 0.04) << expression;
    }
  }
}

// Bits above the rate-distortion bound of a normal variable.
double bits_above(const std::string& expression, const Matrix& m) {
  const FormPtr form = encoded(expression, m);
  return static_cast<double>(bits(*form)) / static_cast<double>(m.shape.size()) +
         std::log2(squared_error(*form, m)) / 2;
}

TEST(Integer, IsNearTheBoundOfNormalVariables) {
  const Matrix m = noise({512, 1024}, 11, 1);
  for (const char* bits : {"2", "3", "4", "6", "8.5"}) {
    EXPECT_LT(bits_above(std::string("integer(") + bits + ", states=1) > rans", m), 0.27) << bits;
    EXPECT_LT(bits_above(std::string("integer(") + bits + ", states=8) > rans", m), 0.12) << bits;
    EXPECT_LT(bits_above(std::string("integer(") + bits + ") > rans", m), 0.11) << bits;
  }
}

TEST(Integer, EveryInstructionSetDecodesTheSame) {
  for (const Shape shape : {Shape{3, 5}, Shape{70, 100}, Shape{65, 300}, Shape{130, 1050},
                            Shape{64, 2100}, Shape{70, 4101}}) {
    Matrix m = noise(shape, 4, 1);
    for (uint64_t i = 0; i < shape.size(); i += 97) m.values[i] *= 60;
    for (uint64_t r = 0; r < shape.rows; ++r) {
      for (uint64_t c = 0; c < shape.cols; c += 3) m.row(r)[c] *= static_cast<float>(r % 7 + 1);
    }
    for (const char* text : {"integer(2, states=1) > rans", "integer(3) > rans",
                             "integer(step=0.003, states=256) > rans"}) {
      const FormPtr form = encoded(text, m);
      const Matrix expected = decode(*form);
      for_each_target([&](int64_t target) {
        EXPECT_EQ(decode(*form).values, expected.values) << text << ' ' << target;
      });
    }
  }
}

TEST(Integer, EveryInstructionSetChoosesTheSame) {
  Matrix m = noise({130, 70}, 8, 1);
  m.values[77] = 3000;
  for (const char* text :
       {"integer(2, states=1) > rans", "integer(1.5, states=4) > rans", "integer(3) > rans",
        "integer(9) > rans", "integer(2, states=16) > rans", "integer(3, lambda=0) > rans"}) {
    const Bytes expected = write(*encoded(text, m));
    for_each_target([&](int64_t target) {
      EXPECT_EQ(write(*encoded(text, m)), expected) << text << ' ' << target;
    });
  }
}

// The states at the end of a panel tell; archives have checksums besides.
TEST(Integer, DamageIsHardlyEverMissed) {
  const Matrix m = noise({130, 64}, 2, 1);
  const Bytes stored = write(*encoded("integer(3) > rans", m));
  int missed = 0;
  for (size_t i = stored.size() - 200; i < stored.size(); ++i) {
    Bytes damaged = stored;
    damaged[i] ^= 1;
    try {
      decode(*read(damaged, nullptr));
      ++missed;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kData);
    }
  }
  EXPECT_LE(missed, 4);
}

TEST(Integer, StandsInExpressions) {
  const Matrix m = noise({70, 96}, 6, 1);
  EXPECT_EQ(to_string(encoded("hadamard(seed=1) | integer(3) > rans", m)->expression()),
            "hadamard(seed=1) | (integer(3) > rans)");
  const double alone = squared_error("integer(3) > rans", m);
  EXPECT_NEAR(squared_error("hadamard(seed=1) | integer(3) > rans", m), alone, alone * 0.1);
  EXPECT_LT(squared_error("(integer(3) > rans) + (integer(2) > rans)", m), alone / 10);
  const FormPtr any = encoded("integer > rans", m);
  EXPECT_EQ(to_string(any->expression()), "integer > rans");
  EXPECT_EQ(decode(*any).values, decode(*encoded("integer(4) > rans", m)).values);
}

TEST(Integer, OddValuesAreTakenAsTheyAre) {
  Matrix m = noise({3, 70}, 6, 1);
  IntegerFit fit(parse("integer > rans"), m.view(), random_steps(m.shape, 0.1f));
  const std::vector<float> wanted = {NAN, INFINITY, -1e30f};
  std::vector<float> values(3);
  fit.choose(0, 5, wanted.data(), 0, values.data());
  EXPECT_TRUE(std::ranges::all_of(values, [](float v) { return std::isfinite(v); }));
  EXPECT_LT(std::fabs(values[0]), 0.2);
  EXPECT_GT(values[1], 100);
  EXPECT_LT(values[2], -100);
  const Matrix got = decode(*fit.form());
  for (uint64_t r = 0; r < 3; ++r) EXPECT_EQ(got.view().row(r)[5], values[r]);

  for (float& v : m.values) v *= 1e-41f;
  EXPECT_EQ(decode(*encoded("integer(3) > rans", m)).values.size(), m.values.size());
  for (float& v : m.values) v = 0;
  EXPECT_EQ(decode(*encoded("integer(3) > rans", m)).values, m.values);
  EXPECT_LT(bits_each("integer(3) > rans", noise({256, 256}, 1, 0)), 0.02);
  for (float& v : m.values) v = -7;
  EXPECT_LT(squared_error("integer(8) > rans", m), 1e-3);
}

TEST(Integer, RefusesWhatItCannotDo) {
  const Matrix m = noise({4, 4}, 1);
  EXPECT_THROW(encoded("integer(4)", m), Error);
  EXPECT_THROW(encoded("integer(4, states=3) > rans", m), Error);
  EXPECT_THROW(encoded("integer(4, step=0.1) > rans", m), Error);
  EXPECT_THROW(encoded("integer(4) > exponent", m), Error);
  EXPECT_THROW(encoded("integer(4) > rans > rans", m), Error);
  EXPECT_THROW(encoded("integer(4) > rans", noise({4, 4}, 1, 1e38f)), Error);
  EXPECT_THROW(IntegerFit(parse("integer > rans"), m.view(), {1.0f, {0, 0}, {0, 0, 0, 0}}), Error);
  EXPECT_THROW(IntegerFit(parse("uniform(4)"), m.view(), random_steps(m.shape, 1)), Error);
}

}  // namespace
}  // namespace pith::form
