#include "group_floats.h"

#include <algorithm>
#include <array>

#include "panel.h"
#include "panel_floats.h"
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

GroupFloats::GroupFloats(Shape rows_and_groups, NestedBytes bytes, GroupFloats outer)
    : kind_(Kind::kBytes),
      shape_(rows_and_groups),
      bytes_(std::move(bytes)),
      outer_(std::make_shared<const GroupFloats>(std::move(outer))) {
  const uint64_t size = checked_mul(panels_of(shape_.rows) * kPanelRows, shape_.cols);
  if (bytes_.values.size() != size) fail(ErrorKind::kData, "scales of the wrong size");
}

GroupFloats::GroupFloats(std::shared_ptr<const PanelMatrix> codes)
    : kind_(Kind::kCodes), shape_(codes->shape()), codes_(std::move(codes)) {}

KernelScales GroupFloats::bytes(uint64_t panel, uint64_t first, uint64_t n, float* outer) const {
  const uint64_t each = bytes_.each, begin = first / each;
  const uint64_t count = n == 0 ? 0 : (first + n - 1) / each + 1 - begin;
  outer_->expand(panel, begin, count, outer);
  if (bytes_.unit != 1) {
    for (uint64_t i = 0; i < count * kPanelRows; ++i) outer[i] *= bytes_.unit;
  }
  KernelScales values;
  values.floats = outer;
  values.bytes = bytes_.values.data() + (panel * shape_.cols + first) * kPanelRows;
  values.begin = (begin + 1) * each - first;
  values.each = each;
  values.middle = bytes_.middle;
  values.mask = bytes_.mask;
  return values;
}

void GroupFloats::expand_panels(uint64_t panel, uint64_t count, uint64_t n,
                                float* out) const {
  // Whole panels of an array lie one after the other.
  const uint64_t each = n * kPanelRows;
  if (kind_ == Kind::kPlain) {
    const uint64_t whole = std::min(count, shape_.rows / kPanelRows - panel);
    load_floats(values_.data() + panel * each * scale_bytes(type_), whole * each, type_, out);
    panel += whole;
    count -= whole;
    out += whole * each;
  }
  for (; count > 0; --count, out += each) expand(panel++, 0, n, out);
}

void GroupFloats::expand(uint64_t panel, uint64_t first, uint64_t n, float* out) const {
  if (kind_ == Kind::kCodes) return codes_->columns(panel, first, n, out);
  if (kind_ == Kind::kBytes) {
    // Few at a time, whose floats stay on the stack.
    constexpr uint64_t kMost = kBlockCols;
    alignas(64) std::array<float, (kMost + 2) * kPanelRows> outer;
    for (uint64_t done = 0; done < n; done += kMost) {
      const uint64_t some = std::min(n - done, kMost);
      floats_of_groups(bytes(panel, first + done, some, outer.data()), some,
                       out + done * kPanelRows);
    }
    return;
  }
  if (kind_ == Kind::kOne) {
    std::fill_n(out, n * kPanelRows, load_float(values_.data(), 0, type_));
    return;
  }
  const uint64_t rows = std::min(kPanelRows, shape_.rows - panel * kPanelRows);
  const uint64_t begin = panel * kPanelRows * shape_.cols + first * rows;
  if (rows == kPanelRows) {
    return load_floats(values_.data() + begin * scale_bytes(type_), n * kPanelRows, type_, out);
  }
  for (uint64_t g = 0; g < n; ++g) {
    for (uint64_t r = 0; r < kPanelRows; ++r) {
      out[g * kPanelRows + r] =
          r < rows ? load_float(values_.data(), begin + g * rows + r, type_) : 0;
    }
  }
}

}  // namespace pith::form
