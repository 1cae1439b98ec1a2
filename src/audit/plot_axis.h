// Where values lie along one edge of a plot, and which of them are marked.
#pragma once

#include <string>
#include <vector>

namespace pith::audit {

class PlotAxis {
 public:
  // From `low` to `high` in values, `from` to `to` in the picture. A logarithmic axis begins and
  // ends at 1, 2 or 5 times a power of ten, a linear one at its marks. low <= high.
  PlotAxis(double low, double high, double from, double to, bool logarithmic);

  double place(double value) const;
  bool holds(double value) const { return value >= low_ && value <= high_; }

  struct Mark {
    double value;
    std::string text;  // empty: a line without a number
  };
  const std::vector<Mark>& marks() const { return marks_; }

 private:
  double low_, high_, from_, to_;
  bool logarithmic_;
  std::vector<Mark> marks_;
};

}  // namespace pith::audit
