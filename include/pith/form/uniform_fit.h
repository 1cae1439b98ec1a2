// A uniform form in the making, for fitters that choose its scales and codes themselves:
//
//   UniformFit fit(parse("uniform(3, group=64)"), weights);
//   fit.set_scales(…);   // each from fit.fit(elements of the group)
//   fit.put(…);          // codes, each from fit.code(element, scale)
//   const FormPtr form = fit.form();
//
// encode() is this with each element rounded to the nearest by itself.
#pragma once

#include <memory>
#include <span>

#include "pith/form/form.h"

namespace pith::form {

// Element = scale * level[code] + zero.
struct UniformScale {
  float scale = 0, zero = 0;
};

class UniformFit {
 public:
  // `uniform(...)`, or this with a coder behind it. Levels that are fitted to the tensor
  // (grid=kmeans) are fitted to the matrix, which is not kept. Throws ErrorKind::kUsage for another
  // expression, kData for an element that is NaN or infinite.
  UniformFit(const Expression& expression, MatrixView matrix);
  UniformFit(UniformFit&&) noexcept;
  ~UniformFit();

  Shape shape() const;
  // Of the scales: a row for each row and a column for each group of neighbours in it; 1 x 1 where
  // the whole matrix shares one, and nothing where there are no elements.
  Shape groups() const;
  // Columns of a group; the last may have fewer.
  uint64_t group_length() const;
  // All scales must be set before the first code is chosen, as their own rounding depends on all of
  // them or as there is a single one.
  bool scales_first() const;

  // The best scale found for the elements of a group, as it will be stored: of least squared error,
  // each element's times its importance (none: all are equal). Importances are finite and not
  // negative; the largest should be about 1.
  UniformScale fit(std::span<const float> w, std::span<const float> importance = {}) const;
  // The nearest that can be stored, where scales do not come first.
  UniformScale rounded(UniformScale scale) const;
  // Sets the scales of all groups, and makes them what will be read. Zero points are ignored where
  // the form has none.
  void set_scales(Matrix& scales, Matrix& zeros);

  uint8_t code(float w, UniformScale scale) const;
  float value(uint8_t code, UniformScale scale) const;
  // The same for elements that share a scale.
  void codes(std::span<const float> w, UniformScale scale, uint8_t* out) const;

  // The codes of rows first <= r < first + n, one a byte, row-major. first is a multiple of 16, and
  // n as well unless these are the last rows. Threads may put rows of their own.
  void put(uint64_t first, uint64_t n, const uint8_t* codes);
  // After all scales and codes.
  FormPtr form();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pith::form
