#include "group_floats.h"

#include <algorithm>
#include <array>

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

GroupFloats::GroupFloats(Shape rows_and_groups, Buffer bytes, int middle, GroupFloats outer,
                         uint64_t each)
    : kind_(Kind::kBytes),
      shape_(rows_and_groups),
      values_(std::move(bytes)),
      middle_(middle),
      each_(each),
      outer_(std::make_shared<const GroupFloats>(std::move(outer))) {
  const uint64_t size = checked_mul(panels_of(shape_.rows) * kPanelRows, shape_.cols);
  if (values_.size() != size) fail(ErrorKind::kData, "scales of the wrong size");
}

GroupFloats::GroupFloats(std::shared_ptr<const PanelMatrix> codes)
    : kind_(Kind::kCodes), shape_(codes->shape()), codes_(std::move(codes)) {}

void GroupFloats::expand_bytes(uint64_t panel, uint64_t first, uint64_t n, float* out) const {
  // A few outer groups at a time.
  constexpr uint64_t kMost = kBlockCols;
  alignas(64) std::array<float, kMost * kPanelRows> by;
  const uint8_t* bytes = values_.data() + (panel * shape_.cols + first) * kPanelRows;
  for (const uint64_t end = first + n; first < end;) {
    const uint64_t outer = first / each_, stop = std::min(end, (outer + kMost) * each_);
    outer_->expand(panel, outer, (stop - 1) / each_ + 1 - outer, by.data());
    floats_of_bytes({bytes, stop - first, (outer + 1) * each_ - first, each_, middle_, by.data()},
                    out);
    bytes += (stop - first) * kPanelRows;
    out += (stop - first) * kPanelRows;
    first = stop;
  }
}

void GroupFloats::expand(uint64_t panel, uint64_t first, uint64_t n, float* out) const {
  if (kind_ == Kind::kCodes) return codes_->columns(panel, first, n, out);
  if (kind_ == Kind::kBytes) return expand_bytes(panel, first, n, out);
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
