// The importance of neighbouring columns, as searches for their scales want it.
#pragma once

#include <algorithm>
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

 private:
  std::vector<float> values_;
};

}  // namespace pith::fit
