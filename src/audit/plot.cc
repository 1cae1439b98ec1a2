#include "pith/audit/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "pith/base/error.h"
#include "pith/io/text.h"
#include "plot_axis.h"

namespace pith::audit {
namespace {

// Colours of lines that are told apart with any kind of sight, on light and on dark ground.
struct Colour {
  const char *light, *dark;
};
constexpr std::array<Colour, 10> kColours = {{{"#0067b0", "#4aa8f0"},
                                              {"#c34a00", "#ff8a3d"},
                                              {"#00805d", "#2fc796"},
                                              {"#a5397f", "#ec86c4"},
                                              {"#7a6a00", "#d8bd2a"},
                                              {"#5b4bb0", "#a79bf2"},
                                              {"#4d4d4d", "#bdbdbd"},
                                              {"#007f99", "#48c4de"},
                                              {"#9a2a2a", "#f08080"},
                                              {"#4b7a1c", "#9ed35a"}}};
constexpr const char* kDashes[] = {"", "7 4", "2 3", "9 3 2 3", "12 5"};
constexpr double kLeft = 78, kRight = 24, kTop = 46, kBottom = 58;
constexpr double kFarthest = 1e100;
constexpr double kLetter = 6.2;  // width of a letter of labels

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& o) const {
    return left < o.right && o.left < right && top < o.bottom && o.top < bottom;
  }
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : io::utf8(std::string(text))) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // What XML cannot hold at all.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

double letters(std::string_view text) {
  return static_cast<double>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string style() {
  std::string light, dark;
  for (size_t i = 0; i < kColours.size(); ++i) {
    light += fmt::format(".s{}{{stroke:{};fill:{}}}", i, kColours[i].light, kColours[i].light);
    dark += fmt::format(".s{}{{stroke:{};fill:{}}}", i, kColours[i].dark, kColours[i].dark);
  }
  return fmt::format(
      "<style>text{{font-family:system-ui,-apple-system,'Segoe UI',sans-serif;font-size:12px;"
      "fill:#24292f}}"
      ".title{{font-size:15px;font-weight:600}}.small{{font-size:11px;fill:#57606a}}"
      ".ground{{fill:#ffffff}}.grid{{stroke:#e3e6ea;stroke-width:1}}"
      ".axis{{stroke:#8c959f;stroke-width:1;fill:none}}.line{{fill:none;stroke-width:2}}"
      ".bar{{stroke-width:1.2}}.point{{stroke-width:1}}{}"
      "@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.small{{fill:#9aa4af}}"
      ".ground{{fill:#0d1117}}.grid{{stroke:#262c34}}.axis{{stroke:#6e7681}}{}}}</style>\n",
      light, dark);
}

// The class of a line fills its points, but not the line.
std::string path_style(size_t line) {
  const std::string dash = kDashes[line % std::size(kDashes)];
  return dash.empty() ? "style=\"fill:none\""
                      : fmt::format("style=\"fill:none\" stroke-dasharray=\"{}\"", dash);
}

std::string shape(size_t line, double x, double y) {
  constexpr double r = 3.6;
  const std::string name = fmt::format("class=\"point s{}\"", line);
  switch (line % 4) {
    case 0:
      return fmt::format("<circle {} cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n", name, x, y, r);
    case 1:
      return fmt::format("<rect {} x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\"/>\n", name,
                         x - 3.2, y - 3.2, 6.4, 6.4);
    case 2:
      return fmt::format("<path {} d=\"M{:.1f} {:.1f}l4.2 7.2h-8.4z\"/>\n", name, x, y - 4.4);
    default:
      return fmt::format("<path {} d=\"M{:.1f} {:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6z\"/>\n", name, x,
                         y - 4.6);
  }
}

class Drawing {
 public:
  explicit Drawing(const Plot& plot)
      : plot_(plot), right_(plot.width - kRight), bottom_(plot.height - kBottom) {
    lines_ = plot.lines;
    for (PlotLine& line : lines_) {
      std::erase_if(line.points, [&](const PlotPoint& p) { return !drawable(p); });
    }
  }

  std::string svg() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" role=\"img\" aria-label=\"{2}\">\n",
        plot_.width, plot_.height, escaped(plot_.title));
    out_ += style();
    out_ += fmt::format("<rect class=\"ground\" width=\"{}\" height=\"{}\"/>\n", plot_.width,
                        plot_.height);
    text(kLeft, 26, plot_.title, "title", "start");
    if (std::ranges::all_of(lines_, [](const PlotLine& l) { return l.points.empty(); })) {
      text(plot_.width / 2.0, plot_.height / 2.0, "there is nothing to show", "small", "middle");
    } else {
      const auto [x, y] = axes();
      grid(x, y);
      legend();
      for (size_t i = 0; i < lines_.size(); ++i) draw(i, x, y);
      for (size_t i = 0; i < lines_.size(); ++i) labels(i, x, y);
    }
    return out_ + "</svg>\n";
  }

 private:
  bool drawable(const PlotPoint& p) const {
    return std::abs(p.x) < kFarthest && std::abs(p.y) < kFarthest &&
           (!plot_.log_y || p.y > 1 / kFarthest);
  }

  std::pair<PlotAxis, PlotAxis> axes() const {
    constexpr double kFar = std::numeric_limits<double>::infinity();
    double x0 = kFar, x1 = -kFar, y0 = kFar, y1 = -kFar;
    for (const PlotLine& line : lines_) {
      for (const PlotPoint& p : line.points) {
        x0 = std::min(x0, p.x);
        x1 = std::max(x1, p.x);
        y0 = std::min(y0, p.y);
        y1 = std::max(y1, p.y);
      }
    }
    return {PlotAxis(x0, x1, kLeft, right_, false), PlotAxis(y0, y1, bottom_, kTop, plot_.log_y)};
  }

  void text(double x, double y, std::string_view what, const char* name, const char* anchor) {
    out_ +=
        fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                    name, x, y, anchor, escaped(what));
  }
  void segment(const char* name, double x0, double y0, double x1, double y1) {
    out_ += fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", name, x0,
        y0, x1, y1);
  }

  void grid(const PlotAxis& x, const PlotAxis& y) {
    for (const auto& m : x.marks()) {
      segment("grid", x.place(m.value), kTop, x.place(m.value), bottom_);
      text(x.place(m.value), bottom_ + 18, m.text, "small", "middle");
    }
    for (const auto& m : y.marks()) {
      segment("grid", kLeft, y.place(m.value), right_, y.place(m.value));
      if (!m.text.empty()) text(kLeft - 8, y.place(m.value) + 4, m.text, "small", "end");
    }
    out_ += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n", kLeft, kTop,
                        bottom_, right_);
    text((kLeft + right_) / 2, plot_.height - 16, plot_.x_label, "", "middle");
    const double middle = (kTop + bottom_) / 2;
    out_ += fmt::format(
        "<text x=\"20\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 20 "
        "{0:.1f})\">{1}</text>\n",
        middle, escaped(plot_.y_label));
  }

  // At the top on the right: losses fall with size.
  void legend() {
    double widest = 0, y = kTop + 16;
    for (const PlotLine& line : lines_) widest = std::max(widest, letters(line.name));
    const double x = right_ - 12 - 1.08 * kLetter * widest - 40;
    for (size_t i = 0; i < lines_.size(); ++i, y += 19) {
      if (lines_[i].connected) {
        out_ += fmt::format("<path class=\"line s{}\" {} d=\"M{:.1f} {:.1f}h32\"/>\n", i,
                            path_style(i), x, y);
      }
      out_ += shape(i, x + 16, y);
      text(x + 40, y + 4, lines_[i].name, "", "start");
    }
    taken_.push_back({x - 4, kTop, right_, y});
  }

  void draw(size_t i, const PlotAxis& x, const PlotAxis& y) {
    std::string path;
    for (const PlotPoint& p : lines_[i].points) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x.place(p.x), y.place(p.y));
    }
    if (lines_[i].connected && lines_[i].points.size() > 1) {
      out_ += fmt::format("<path class=\"line s{}\" {} d=\"{}\"/>\n", i, path_style(i), path);
    }
    for (const PlotPoint& p : lines_[i].points) {
      const double px = x.place(p.x), py = y.place(p.y);
      if (p.range && p.range->low <= p.range->high && p.range->high <= kFarthest &&
          p.range->low > (plot_.log_y ? 0 : -kFarthest)) {
        segment(fmt::format("bar s{}", i).c_str(), px, y.place(p.range->low), px,
                y.place(p.range->high));
      }
      out_ += shape(i, px, py);
      taken_.push_back({px - 5, py - 5, px + 5, py + 5});
    }
  }

  // Beside the point where nothing is yet: above on the right, below on the left, and so on.
  void labels(size_t i, const PlotAxis& x, const PlotAxis& y) {
    for (const PlotPoint& p : lines_[i].points) {
      if (p.label.empty()) continue;
      const double px = x.place(p.x), py = y.place(p.y), w = kLetter * letters(p.label);
      const Box boxes[] = {
          {px + 6, py - 17, px + 6 + w, py - 5}, {px - 6 - w, py + 5, px - 6, py + 17},
          {px + 8, py - 6, px + 8 + w, py + 6},  {px - 8 - w, py - 6, px - 8, py + 6},
          {px + 6, py + 5, px + 6 + w, py + 17}, {px - 6 - w, py - 17, px - 6, py - 5}};
      for (const Box& box : boxes) {
        const Box inside = {kLeft, kTop, right_, bottom_};
        if (box.left < inside.left || box.right > inside.right || box.top < inside.top ||
            box.bottom > inside.bottom) {
          continue;
        }
        if (std::ranges::any_of(taken_, [&](const Box& t) { return t.meets(box); })) continue;
        text(box.left, box.bottom - 2.5, p.label, "small", "start");
        taken_.push_back(box);
        break;
      }
    }
  }

  const Plot& plot_;
  std::vector<PlotLine> lines_;
  double right_, bottom_;
  std::vector<Box> taken_;
  std::string out_;
};

}  // namespace

std::string to_svg(const Plot& plot) {
  if (plot.lines.size() > kColours.size()) {
    fail(ErrorKind::kUsage, "a plot of {} lines: at most {} can be told apart", plot.lines.size(),
         kColours.size());
  }
  return Drawing(plot).svg();
}

}  // namespace pith::audit
