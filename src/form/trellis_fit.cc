#include "pith/form/trellis_fit.h"

#include <algorithm>
#include <vector>

#include "fitted_scales.h"
#include "pith/base/error.h"
#include "trellis.h"
#include "trellis_code.h"

namespace pith::form {

struct TrellisFit::Parts {
  TrellisParameters parameters;
  Shape shape;
  FittedScales scales;
  std::vector<uint16_t> windows;  // row by row

  explicit Parts(const TrellisForm& form)
      : parameters(form.parameters()),
        shape(form.shape()),
        scales(form.shape(), form.group_scales()),
        windows(form.shape().size()) {
    for (uint64_t r = 0; r < shape.rows; ++r) form.get_windows(r, windows.data() + r * shape.cols);
  }
};

bool TrellisFit::fits(const Expression& e) { return e.is_call() && e.name() == "trellis"; }

TrellisFit::TrellisFit(const FormPtr& start) {
  const auto* form = dynamic_cast<const TrellisForm*>(start.get());
  if (form == nullptr) {
    fail(ErrorKind::kUsage, "`{}` is no path through a trellis", to_string(start->expression()));
  }
  parts_ = std::make_unique<Parts>(*form);
}

TrellisFit::TrellisFit(TrellisFit&&) noexcept = default;
TrellisFit::~TrellisFit() = default;

Shape TrellisFit::shape() const { return parts_->shape; }
uint64_t TrellisFit::group_length() const { return parts_->scales.group_length(); }
float TrellisFit::scale(uint64_t row, uint64_t column) const {
  return parts_->scales.at(row, column);
}
float TrellisFit::rounded(float scale) const { return parts_->scales.rounded(scale); }
float TrellisFit::set_scale(uint64_t row, uint64_t column, float scale) {
  return parts_->scales.set(row, column, scale);
}

PathSearch TrellisFit::search() const {
  return {parts_->parameters.bits, parts_->parameters.window};
}

std::span<const uint16_t> TrellisFit::windows(uint64_t row) const {
  return std::span(parts_->windows).subspan(row * parts_->shape.cols, parts_->shape.cols);
}

void TrellisFit::set_windows(uint64_t row, const uint16_t* windows) {
  const uint64_t n = parts_->shape.cols;
  std::copy_n(windows, n, parts_->windows.begin() + static_cast<ptrdiff_t>(row * n));
}

float TrellisFit::value(uint16_t window) { return trellis_value(window); }

FormPtr TrellisFit::form() const {
  const TrellisParameters& p = parts_->parameters;
  const uint64_t bytes = trellis_row_bytes(p, parts_->shape.cols);
  Bytes codes(parts_->shape.rows * bytes);
  for (uint64_t r = 0; r < parts_->shape.rows; ++r) {
    put_windows(p, windows(r), codes.data() + r * bytes);
  }
  return std::make_shared<TrellisForm>(parts_->shape, p, parts_->scales.stored(),
                                       Buffer(std::move(codes)));
}

}  // namespace pith::form
