// The floats beside codes: a scale or a zero point for each row and group of columns.
#pragma once

#include <memory>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/matrix.h"

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
  // (byte - middle) * float, where `each` groups share a float of `outer`. bytes:
  // [panel][group][16], whatever a panel's rows.
  GroupFloats(Shape rows_and_groups, Buffer bytes, int middle, GroupFloats outer, uint64_t each);
  // Themselves codes: a row for each row, a column for each group.
  explicit GroupFloats(std::shared_ptr<const PanelMatrix> codes);

  bool empty() const { return kind_ == Kind::kNone; }
  // out[group][16], from group `first` on, with room for n rounded up to 32; rows that the panel
  // does not have get zeros.
  void expand(uint64_t panel, uint64_t first, uint64_t n, float* out) const;

 private:
  void expand_bytes(uint64_t panel, uint64_t first, uint64_t n, float* out) const;

  enum class Kind : uint8_t { kNone, kOne, kPlain, kBytes, kCodes };
  Kind kind_ = Kind::kNone;
  Shape shape_;
  DType type_ = DType::kF32;
  Buffer values_;
  int middle_ = 0;
  uint64_t each_ = 1;
  std::shared_ptr<const GroupFloats> outer_;
  std::shared_ptr<const PanelMatrix> codes_;
};

}  // namespace pith::form
