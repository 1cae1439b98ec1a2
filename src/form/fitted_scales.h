// The scales of a form in the making.
#pragma once

#include <vector>

#include "group_scales.h"
#include "scales.h"

namespace pith::form {

class FittedScales {
 public:
  FittedScales(Shape shape, const GroupScales& from) : shape_(shape), groups_(from.groups()) {
    if (groups_.length == ScaleGroups::kNone) return;
    for (uint64_t r = 0; r < shape.rows; ++r) {
      for (uint64_t at = 0; at < shape.cols; at += groups_.left(shape, at)) {
        if (groups_.index(shape, r, at) == scales_.size()) scales_.push_back(from.at(r, at));
      }
    }
  }

  // Columns of a row that share a scale, or all; 0: rows have no scales of their own.
  uint64_t group_length() const {
    const uint64_t length = groups_.length;
    if (length == ScaleGroups::kTensor || length == ScaleGroups::kNone) return 0;
    return length == ScaleGroups::kRow ? shape_.cols : length;
  }

  float at(uint64_t row, uint64_t column) const {
    if (groups_.length == ScaleGroups::kNone) return 1;
    return scales_[groups_.index(shape_, row, column)];
  }
  float rounded(float scale) const { return rounded_scale(scale, groups_.type); }
  float set(uint64_t row, uint64_t column, float scale) {
    return scales_[groups_.index(shape_, row, column)] = rounded(scale);
  }

  Buffer stored() const {
    Bytes out;
    for (const float s : scales_) append_float(s, groups_.type, out);
    return Buffer(std::move(out));
  }

 private:
  Shape shape_;
  ScaleGroups groups_;
  std::vector<float> scales_;
};

}  // namespace pith::form
