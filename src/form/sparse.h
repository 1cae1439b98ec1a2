// Matrices of which most elements are zero: which ones are kept follows a pattern, and their values
// are a form of their own.
//
//   sparse(1%)                            the largest elements anywhere, each with its column (CSR)
//   sparse(50%)                           the same with a bit for every element
//   sparse(2:4)                           the largest 2 of every 4 neighbours in a row
//   sparse(50%, block=16, height=4)       blocks of 4 rows and 16 columns
//   sparse(25%, pattern=rows)             whole rows, or pattern=columns
//   sparse(2:4, values=uniform(4))        kept elements of 4 bits
//
// The bitmap with packed values is Mustafar's (Joo et al. 2025), n:m that of NVIDIA's sparse tensor
// cores (Mishra et al. 2021), CSR outliers those of SpQR (Dettmers et al. 2023).
#pragma once

#include <span>
#include <vector>

#include "pith/base/buffer.h"
#include "pith/form/form.h"
#include "pith/form/sparse_fit.h"

namespace pith::form {

// Below this share the columns of the kept elements take less room than a bit for every element.
inline constexpr double kBitmapShare = 1.0 / 16;

class SparseForm : public Form {
 public:
  Expression expression() const final;
  std::string_view kind() const final { return "sparse"; }
  // Options, places, values.
  void write_body(BodyWriter& to) const final;

  static FormPtr read(Shape shape, BodyReader& in);
  // The largest elements, or blocks of the largest norm; ties go to the earlier one.
  static FormPtr encode(const Expression& call, MatrixView matrix);

 protected:
  SparseForm(Shape shape, const SparseOptions& options, FormPtr values)
      : Form(shape), options_(options), values_(std::move(values)) {}

  virtual void write_places(BodyWriter& to) const = 0;
  const SparseOptions& options() const { return options_; }
  const Form& values() const { return *values_; }

 private:
  SparseOptions options_;
  FormPtr values_;
};

// Whether each of the scores is among the n largest; ties go to the earlier one.
std::vector<bool> largest(std::span<const float> scores, uint64_t n);

}  // namespace pith::form
