#include "pith/form/vector_fit.h"

#include <algorithm>
#include <cmath>

#include "fitted_scales.h"
#include "pith/base/error.h"
#include "vector_codes.h"

namespace pith::form {

struct VectorFit::Parts {
  FormPtr start;  // to which the codes refer
  Shape shape;
  FittedScales scales;
  std::unique_ptr<VectorCodes> codes;

  Parts(Shape s, const GroupScales& from, std::unique_ptr<VectorCodes> c)
      : shape(s), scales(s, from), codes(std::move(c)) {}
};

double run_error(std::span<const double> metric, const float* a, const float* b, uint64_t dim) {
  double sum = 0;
  for (uint64_t i = 0; i < dim; ++i) {
    double of_row = 0;
    for (uint64_t j = 0; j < i; ++j) of_row += metric[i * dim + j] * (double{a[j]} - b[j]);
    const double e = double{a[i]} - b[i];
    sum += e * (2 * of_row + metric[i * dim + i] * e);
  }
  return sum;
}

bool VectorFit::fits(const Expression& e) {
  return e.is_call() && (e.name() == "codebook" || e.name() == "lattice");
}

VectorFit::VectorFit(FormPtr start) {
  const auto with = [&](const auto& form) {
    parts_ = std::make_unique<Parts>(form.shape(), form.group_scales(), codes_of(form));
    parts_->start = start;
  };
  const Form* f = start.get();
  if (const auto* codebook = dynamic_cast<const CodebookForm*>(f)) with(*codebook);
  if (const auto* e8 = dynamic_cast<const E8Form*>(f)) with(*e8);
  if (const auto* pyramid = dynamic_cast<const PyramidForm*>(f)) with(*pyramid);
  if (parts_) return;
  fail(ErrorKind::kUsage, "`{}` has no codes of vectors", to_string(start->expression()));
}

VectorFit::VectorFit(VectorFit&&) noexcept = default;
VectorFit::~VectorFit() = default;

Shape VectorFit::shape() const { return parts_->shape; }
uint64_t VectorFit::dim() const { return parts_->codes->dim(); }

uint64_t VectorFit::group_length() const { return parts_->scales.group_length(); }

float VectorFit::scale(uint64_t row, uint64_t column) const {
  return parts_->scales.at(row, column);
}

float VectorFit::set_scale(uint64_t row, uint64_t column, float scale) {
  return parts_->scales.set(row, column, scale);
}

void VectorFit::choose(const Run& run) {
  const uint64_t dim = parts_->codes->dim();
  constexpr float kMost = 1e30f;
  thread_local std::vector<float> wanted, values;
  wanted.resize(run.rows * dim);
  values.resize(run.rows * dim);
  for (uint64_t r = 0; r < run.rows; ++r) {
    const float s = scale(run.row + r, run.column);
    for (uint64_t i = r * dim; i < (r + 1) * dim; ++i) {
      wanted[i] = s == 0 ? 0 : std::clamp(run.wanted[i] / s, -kMost, kMost);
    }
    if (run.only_better) parts_->codes->decode(run.row + r, run.column, values.data() + r * dim);
  }
  UnscaledRun unscaled = run;
  unscaled.wanted = wanted.data();
  unscaled.values = values.data();
  parts_->codes->choose(unscaled);
  for (uint64_t r = 0; r < run.rows; ++r) {
    const float s = scale(run.row + r, run.column);
    for (uint64_t i = r * dim; i < (r + 1) * dim; ++i) run.values[i] = s * values[i];
  }
}

void VectorFit::values(uint64_t row, uint64_t column, float* out) const {
  parts_->codes->decode(row, column, out);
  const float s = scale(row, column);
  for (uint64_t i = 0; i < dim(); ++i) out[i] *= s;
}

uint64_t VectorFit::entries() const { return parts_->codes->entries(); }
std::vector<double> VectorFit::entry_values() const { return parts_->codes->entry_values(); }
void VectorFit::set_entries(std::span<const double> entries) {
  parts_->codes->set_entries(entries);
}

void VectorFit::values_with(std::span<const double> entries, uint64_t row, uint64_t column,
                            float* out) const {
  thread_local std::vector<double> values;
  values.resize(dim());
  parts_->codes->decode_with(entries, row, column, values.data());
  const double s = scale(row, column);
  for (uint64_t i = 0; i < dim(); ++i) out[i] = static_cast<float>(s * values[i]);
}

void VectorFit::add_products(uint64_t row, uint64_t column, const float* elements,
                             double* sums) const {
  thread_local std::vector<double> scaled;
  scaled.resize(dim());
  const double s = scale(row, column);
  for (uint64_t i = 0; i < dim(); ++i) scaled[i] = s * elements[i];
  parts_->codes->add_products(row, column, scaled.data(), sums);
}

FormPtr VectorFit::form() const { return parts_->codes->form(parts_->scales.stored()); }

}  // namespace pith::form
