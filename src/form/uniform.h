// Codes of a few bits with a scale, and perhaps a zero point, for each group of neighbours in a
// row.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

inline constexpr uint64_t kRowGroup = 0, kTensorGroup = ~uint64_t{0};

struct UniformParameters {
  int bits = 4;                  // of a code, 1 to 8
  uint64_t group = 64;           // elements of a row that share a scale, kRowGroup or kTensorGroup
  bool zero = false;             // groups have a zero point
  std::string grid = "uniform";  // of levels (grid.h)
  DType scale = DType::kF16;
  bool operator==(const UniformParameters&) const = default;
};

// Element = scale * level[code] (+ zero). Zero points are stored in the scale's type.
class UniformForm final : public Form {
 public:
  // codes: rows of code_row_bytes(cols, bits). scales: one for each group, row by row, and with a
  // zero point that after it. Throws ErrorKind::kData unless both have their size.
  UniformForm(Shape shape, UniformParameters parameters, Buffer codes, Buffer scales);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "uniform"; }
  void write_body(BodyWriter& to) const override;

  const UniformParameters& parameters() const { return parameters_; }
  // The codes of a row, one a byte.
  void codes(uint64_t row, uint8_t* out) const;
  // Of the group of an element; without zero points 0 is the second.
  std::array<float, 2> scale_and_zero(uint64_t row, uint64_t col) const;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  void decode_row(uint64_t row, float* out) const;
  // Whether the kernel for equally spaced levels will do.
  bool is_spaced() const;

  UniformParameters parameters_;
  std::vector<float> levels_;  // of every code
  Buffer codes_, scales_;
};

// Groups of a row, and of a whole matrix.
uint64_t groups_of_row(const UniformParameters& p, uint64_t cols);
uint64_t groups_of(const UniformParameters& p, Shape shape);
// Elements of a row that its first group covers.
uint64_t group_length(const UniformParameters& p, uint64_t cols);

// Levels of all codes of these parameters, 2^bits of them: codes that a grid does not have go on
// where it ends.
std::vector<float> levels_of(const UniformParameters& p);

}  // namespace pith::form
