// Matrices to make forms of, and what tests ask of a form.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <string>

#include "noise_matrix.h"
#include "pith/form/form.h"
#include "targets_testing.h"

namespace pith::form {

inline FormPtr encoded(std::string_view expression, const Matrix& m) {
  return encode(parse(expression), m.view());
}

// Squared error over squared size; of zeros the error itself.
inline double squared_error(const Matrix& got, const Matrix& m) {
  double e = 0, s = 0;
  for (size_t i = 0; i < m.values.size(); ++i) {
    e += std::pow(double{m.values[i]} - got.values[i], 2);
    s += std::pow(double{m.values[i]}, 2);
  }
  return s > 0 ? e / s : e;
}
inline double squared_error(const Form& form, const Matrix& m) {
  return squared_error(decode(form), m);
}
inline double squared_error(std::string_view expression, const Matrix& m) {
  return squared_error(*encoded(expression, m), m);
}

inline double bits_each(std::string_view expression, const Matrix& m) {
  return static_cast<double>(bits(*encoded(expression, m))) / static_cast<double>(m.shape.size());
}

// What refuses the expression; empty if nothing does.
inline std::string refusal(std::string_view expression, const Matrix& m = noise({2, 8}, 1)) {
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

// On every instruction set the form, encoded anew, is stored and decoded to the same bytes, and
// multiplies alike.
inline void expect_same_on_every_target(std::string_view expression, const Matrix& m) {
  const FormPtr form = encoded(expression, m);
  const Bytes stored = write(*form);
  const Matrix decoded = decode(*form), x = noise({2, m.shape.cols}, 8);
  Matrix product, again;
  apply(*form, x.view(), product);
  for_each_target([&](int64_t) {
    EXPECT_EQ(write(*encoded(expression, m)), stored) << expression;
    EXPECT_EQ(decode(*form).values, decoded.values) << expression;
    apply(*form, x.view(), again);
    for (size_t i = 0; i < product.values.size(); ++i) {
      EXPECT_NEAR(again.values[i], product.values[i], 1e-6) << expression;
    }
  });
}

// What is stored cut off anywhere is refused.
inline void expect_refuses_truncation(const Form& form) {
  const Bytes stored = write(form);
  for (size_t n = 0; n < stored.size(); n += 1 + stored.size() / 97) {
    EXPECT_THROW(read(ByteView(stored).first(n), nullptr), Error) << n;
  }
}

}  // namespace pith::form
