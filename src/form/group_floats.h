// The floats beside codes: a scale or a zero point for each row and group of columns.
#pragma once

#include <memory>

#include "panel_floats.h"
#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

class PanelMatrix;

class GroupFloats {
 public:
  // None at all.
  GroupFloats() = default;
  // One for everything.
  GroupFloats(DType type, Buffer one);
  // In the order of panels (panel.h): for every 16 rows, group by group, one for each row. Throws
  // ErrorKind::kData unless there are so many.
  GroupFloats(Shape rows_and_groups, DType type, Buffer values);
  // ((byte & mask) - middle) * unit * float, where `each` groups share a float of `outer`. values:
  // [panel][group][16], whatever a panel's rows.
  struct NestedBytes {
    Buffer values;
    uint8_t mask = 0xFF;
    int middle = 0;
    float unit = 1;  // a power of two
    uint64_t each = 1;
  };
  GroupFloats(Shape rows_and_groups, NestedBytes bytes, GroupFloats outer);
  // Themselves codes: a row for each row, a column for each group.
  explicit GroupFloats(std::shared_ptr<const PanelMatrix> codes);

  bool empty() const { return kind_ == Kind::kNone; }
  // out[group][16], from group `first` on, with room for n rounded up to 32; rows that the panel
  // does not have get zeros.
  void expand(uint64_t panel, uint64_t first, uint64_t n, float* out) const;

  // Of so many panels their first n groups, which are all, out[panel][group][16].
  void expand_panels(uint64_t panel, uint64_t count, uint64_t n, float* out) const;

  // As Form::fetch(); of arrays.
  void fetch() const { fetch_bytes(values_.bytes); }

  bool has_bytes() const { return kind_ == Kind::kBytes; }
  // The same for a kernel that reads bytes; `outer` gets the floats they are multiplied by: 16 for
  // each n / each groups and for two more.
  KernelScales bytes(uint64_t panel, uint64_t first, uint64_t n, float* outer) const;

 private:
  enum class Kind : uint8_t { kNone, kOne, kPlain, kBytes, kCodes };
  Kind kind_ = Kind::kNone;
  Shape shape_;
  DType type_ = DType::kF32;
  Buffer values_;
  NestedBytes bytes_;
  std::shared_ptr<const GroupFloats> outer_;
  std::shared_ptr<const PanelMatrix> codes_;
};

}  // namespace pith::form
