// Matrices to make forms of, and what tests ask of a form.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <random>
#include <string>

#include "pith/form/form.h"

namespace pith::form {

inline Matrix noise(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  Matrix m(shape);
  for (float& v : m.values) v = normal(random);
  return m;
}

inline FormPtr encoded(std::string_view expression, const Matrix& m) {
  return encode(parse(expression), m.view());
}

// Squared error over squared size.
inline double squared_error(const Form& form, const Matrix& m) {
  const Matrix got = decode(form);
  double e = 0, s = 0;
  for (size_t i = 0; i < m.values.size(); ++i) {
    e += std::pow(double{m.values[i]} - got.values[i], 2);
    s += std::pow(double{m.values[i]}, 2);
  }
  return e / s;
}
inline double squared_error(std::string_view expression, const Matrix& m) {
  return squared_error(*encoded(expression, m), m);
}

inline double bits_each(std::string_view expression, const Matrix& m) {
  return static_cast<double>(bits(*encoded(expression, m))) / static_cast<double>(m.shape.size());
}

// What refuses the expression; empty if nothing does.
inline std::string refusal(std::string_view expression, const Matrix& m) {
  try {
    encoded(expression, m);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// What apply() may be off, as a share of the sum of its terms' sizes: kernels of small integers
// round their inputs to bytes (how near they come to the product with these has tests of its own).
inline double rounding_of(const Form& form) {
  const std::string text = to_string(form.expression());
  const auto has = [&](std::string_view name) { return text.find(name) != text.npos; };
  if (!has("uniform") && !has("ggml")) return 1e-4;
  // Where columns are scaled, one of them may take all the bytes' range.
  return has("scale |") ? 0.5 : 0.02;
}

// apply() is what decode() says, on every instruction set, for one vector and batches.
inline void expect_multiplies(const Form& form) {
  const double tolerance = rounding_of(form);
  const Matrix w = decode(form);
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    EXPECT_EQ(decode(form).values, w.values);
    for (const uint64_t batch : {1, 3, 17, 70}) {
      const Matrix x = noise({batch, w.shape.cols}, 11);
      Matrix y;
      apply(form, x.view(), y, 2);
      for (uint64_t b = 0; b < batch; ++b) {
        double largest = 0;
        for (const float v : x.view().row(b)) largest = std::max(largest, std::fabs(double{v}));
        for (uint64_t r = 0; r < w.shape.rows; ++r) {
          double sum = 0, size = 1e-9;
          for (uint64_t c = 0; c < w.shape.cols; ++c) {
            sum += double{w.view().row(r)[c]} * x.view().row(b)[c];
            size += std::fabs(double{w.view().row(r)[c]}) * largest;
          }
          ASSERT_NEAR(y.view().row(b)[r], sum, tolerance * size)
              << to_string(form.expression()) << ", vector " << b << " of " << batch << ", row "
              << r << ", target " << hwy::TargetName(left & -left);
        }
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

// What is stored cut off anywhere is refused.
inline void expect_refuses_truncation(const Form& form) {
  const Bytes stored = write(form);
  for (size_t n = 0; n < stored.size(); n += 1 + stored.size() / 97) {
    EXPECT_THROW(read(ByteView(stored).first(n), nullptr), Error) << n;
  }
}

}  // namespace pith::form
