// Lines of points with labels as an SVG picture, for reports: a loss, on a logarithmic axis if
// wanted, against a size.
//
// The picture follows the reader's theme where its viewer tells it (prefers-color-scheme), and
// stands on a background of its own, so that it can be read on any page. Lines differ by colour, by
// their points' shape and by dashes. The same plot gives the same bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pith/audit/statistics.h"

namespace pith::audit {

struct PlotPoint {
  double x = 0, y = 0;
  std::optional<Interval> range = {};  // of y, drawn as a bar
  std::string label = {};              // beside the point, where there is room
};

struct PlotLine {
  std::string name;  // in the legend
  std::vector<PlotPoint> points;
  bool connected = true;
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_y = false;
  std::vector<PlotLine> lines;
  int width = 860, height = 560;
};

// Points beyond 1e100, or not above 1e-100 on a logarithmic axis, are left out; a plot without
// points says so. Throws ErrorKind::kUsage for more than 10 lines, which nobody can tell apart.
std::string to_svg(const Plot& plot);

}  // namespace pith::audit
