#include "group_floats.h"

#include <algorithm>

#include "panel.h"
#include "panel_kernel.h"
#include "panel_matrix.h"
#include "pith/base/error.h"
#include "scales.h"

namespace pith::form {
namespace {

void expect_size(const Buffer& values, uint64_t n, DType type) {
  if (values.size() != checked_mul(n, scale_bytes(type))) {
    fail(ErrorKind::kData, "scales of the wrong size");
  }
}

}  // namespace

GroupFloats::GroupFloats(DType type, Buffer one)
    : kind_(Kind::kOne), type_(type), values_(std::move(one)) {
  expect_size(values_, 1, type);
}

GroupFloats::GroupFloats(Shape rows_and_groups, DType type, Buffer values)
    : kind_(Kind::kPlain), shape_(rows_and_groups), type_(type), values_(std::move(values)) {
  expect_size(values_, checked_mul(shape_.rows, shape_.cols), type);
}

GroupFloats::GroupFloats(std::shared_ptr<const PanelMatrix> codes)
    : kind_(Kind::kCodes), shape_(codes->shape()), codes_(std::move(codes)) {}

void GroupFloats::expand(uint64_t panel, uint64_t first, uint64_t n, float* out) const {
  if (kind_ == Kind::kCodes) return codes_->columns(panel, first, n, out);
  if (kind_ == Kind::kOne) {
    std::fill_n(out, n * kPanelRows, load_float(values_.data(), 0, type_));
    return;
  }
  const uint64_t rows = std::min(kPanelRows, shape_.rows - panel * kPanelRows);
  const uint64_t begin = panel * kPanelRows * shape_.cols + first * rows;
  if (rows == kPanelRows && type_ == DType::kF16) {
    return floats_of_f16(values_.data() + 2 * begin, n * kPanelRows, out);
  }
  for (uint64_t g = 0; g < n; ++g) {
    for (uint64_t r = 0; r < kPanelRows; ++r) {
      out[g * kPanelRows + r] =
          r < rows ? load_float(values_.data(), begin + g * rows + r, type_) : 0;
    }
  }
}

}  // namespace pith::form
