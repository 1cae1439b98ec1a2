#include "pith/budget/capacity.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/form/form.h"

namespace pith::budget {
namespace {

// Standard normal numbers in pairs (Box and Muller 1958).
form::Matrix normal_matrix(form::Shape shape, uint64_t seed) {
  form::Matrix matrix(form::checked_shape(shape.rows, shape.cols));
  for (uint64_t i = 0; i < matrix.values.size(); i += 2) {
    const double radius = std::sqrt(-2 * std::log(1 - random_unit(seed, i)));
    const double angle = 2 * std::numbers::pi * random_unit(seed, i + 1);
    matrix.values[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < matrix.values.size()) {
      matrix.values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
  return matrix;
}

}  // namespace

double capacity(double error) {
  if (!(error >= 0)) fail(ErrorKind::kData, "a squared error of {}", error);
  if (error == 0) return std::numeric_limits<double>::infinity();
  return error < 1 ? -std::log2(error) / 2 : 0;
}

GaussianScore gaussian_score(const form::Expression& form, form::Shape shape, uint64_t seed) {
  const form::Matrix matrix = normal_matrix(shape, seed);
  if (matrix.values.empty()) fail(ErrorKind::kUsage, "the score of a form needs some elements");
  const form::FormPtr fitted = form::encode(form, matrix.view());
  const form::Matrix decoded = form::decode(*fitted);
  double errors = 0, squares = 0;
  for (size_t i = 0; i < matrix.values.size(); ++i) {
    const double value = matrix.values[i], off = value - decoded.values[i];
    errors += off * off;
    squares += value * value;
  }
  // Of these numbers' own variance, which is only about 1.
  return {static_cast<double>(form::bits(*fitted)) / static_cast<double>(matrix.values.size()),
          errors / squares};
}

}  // namespace pith::budget
