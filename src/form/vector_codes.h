// Codes of vectors, in units of the scales that stand beside them: what VectorFit is made of.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "codebook.h"
#include "e8_form.h"
#include "pith/form/vector_fit.h"
#include "pyramid_form.h"

namespace pith::form {

// Of a run, with `wanted` and `values` in units of the scales.
using UnscaledRun = VectorFit::Run;

// e metric eᵀ of e = a - b.
double run_error(std::span<const double> metric, const float* a, const float* b, uint64_t dim);

class VectorCodes {
 public:
  virtual ~VectorCodes() = default;
  virtual uint64_t dim() const = 0;
  virtual void choose(const UnscaledRun& run) = 0;
  virtual uint64_t entries() const { return 0; }
  virtual std::vector<double> entry_values() const { return {}; }
  virtual void set_entries(std::span<const double>) {}
  virtual void decode(uint64_t row, uint64_t column, float* out) const = 0;
  virtual void decode_with(std::span<const double> entries, uint64_t row, uint64_t column,
                           double* out) const = 0;
  virtual void add_products(uint64_t row, uint64_t column, const double* elements,
                            double* sums) const = 0;
  virtual FormPtr form(Buffer scales) const = 0;
};

std::unique_ptr<VectorCodes> codes_of(const CodebookForm& form);
std::unique_ptr<VectorCodes> codes_of(const E8Form& form);
std::unique_ptr<VectorCodes> codes_of(const PyramidForm& form);

}  // namespace pith::form
