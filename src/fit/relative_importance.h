// The importance of neighbouring columns, as searches for their scales want it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace pith::fit {

// Importances of neighbours as shares of the largest; none where all are equal, for that is faster.
class RelativeImportance {
 public:
  void set(std::span<const double> values) {
    const auto [least, most] = std::ranges::minmax(values);
    values_.clear();
    if (least == most) return;
    for (const double v : values) values_.push_back(static_cast<float>(v / most));
  }
  std::span<const float> values() const { return values_; }
  // The same, and 0 for elements that are left out (not 0); none are where there is nothing.
  std::span<const float> without(std::span<const uint8_t> left_out) {
    if (std::ranges::all_of(left_out, [](uint8_t b) { return b == 0; })) return values_;
    own_.assign(left_out.size(), 1);
    if (!values_.empty()) own_ = values_;
    for (size_t i = 0; i < left_out.size(); ++i) {
      if (left_out[i] != 0) own_[i] = 0;
    }
    return own_;
  }

 private:
  std::vector<float> values_, own_;
};

}  // namespace pith::fit
