#include "pith/audit/plot.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "pith/base/error.h"
#include "plot_axis.h"

namespace pith::audit {
namespace {

size_t occurrences(std::string_view text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

// Elements closed in order, attributes quoted, nothing but entities where '&' stands, and no
// number that is none.
std::string what_is_wrong(std::string_view svg) {
  std::vector<std::string> open;
  for (size_t at = 0; at < svg.size();) {
    if (svg[at] == '&') {
      const std::string_view rest = svg.substr(at);
      if (!rest.starts_with("&amp;") && !rest.starts_with("&lt;") && !rest.starts_with("&gt;") &&
          !rest.starts_with("&quot;")) {
        return "a bare & at " + std::to_string(at);
      }
    }
    if (svg[at] != '<') {
      if (static_cast<unsigned char>(svg[at]) < 0x20 && svg[at] != '\n')
        return "a control character";
      ++at;
      continue;
    }
    const size_t end = svg.find('>', at);
    if (end == svg.npos) return "a tag without an end";
    const std::string_view tag = svg.substr(at + 1, end - at - 1);
    if (tag.find('<') != tag.npos) return "a tag in a tag";
    if (occurrences(tag, "\"") % 2 != 0) return "an open quote";
    const std::string name(
        tag.substr(tag.starts_with('/'), tag.find_first_of(" /", 1) - tag.starts_with('/')));
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return "closed out of order";
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
    for (const char* bad : {"=\"nan", "=\"-nan", "=\"inf", "=\"-inf", "nan ", "inf "}) {
      if (tag.find(bad) != tag.npos) return "a number that is none";
    }
    at = end + 1;
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

Plot example() {
  Plot plot{.title = "KL <divergence> & size",
            .x_label = "bits a weight",
            .y_label = "nats",
            .log_y = true,
            .lines = {}};
  plot.lines.push_back({"ours", {{2.1, 0.1, Interval{0.09, 0.11}, "2.1"}, {8.5, 1e-4, {}, {}}}});
  plot.lines.push_back({"peer", {{2.6, 0.2, {}, "\"Q2_K\""}}, false});
  return plot;
}

TEST(Plot, IsWellFormedAndShowsWhatItWasGiven) {
  const std::string svg = to_svg(example());
  EXPECT_EQ(what_is_wrong(svg), "");
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_NE(svg.find("KL &lt;divergence&gt; &amp; size"), svg.npos);
  EXPECT_NE(svg.find(">&quot;Q2_K&quot;<"), svg.npos);
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), svg.npos);
  EXPECT_EQ(occurrences(svg, "<circle"), 3u);  // two points, one in the legend
  EXPECT_EQ(occurrences(svg, "class=\"bar"), 1u);
  EXPECT_EQ(svg, to_svg(example()));
}

TEST(Plot, WhatCannotBeDrawnIsLeftOut) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  Plot plot = example();
  const std::string before = to_svg(plot);
  for (const double y : {0.0, -1.0, kInf, std::nan(""), 1e300}) {
    plot.lines[0].points.push_back({3, y, {}, "gone"});
  }
  plot.lines[0].points.push_back({kInf, 0.1, {}, "gone"});
  EXPECT_EQ(to_svg(plot), before);
}

TEST(Plot, NothingToShowIsSaid) {
  for (Plot plot : {Plot{.title = "a", .x_label = "", .y_label = "", .lines = {}},
                    Plot{.title = "b", .x_label = "", .y_label = "", .lines = {{"c", {}}}}}) {
    EXPECT_EQ(what_is_wrong(to_svg(plot)), "");
    EXPECT_NE(to_svg(plot).find("there is nothing to show"), std::string::npos);
  }
}

TEST(Plot, LabelsThatFindNoRoomAreLeftOut) {
  Plot plot = example();
  for (int i = 0; i < 100; ++i) plot.lines[1].points.push_back({3, 0.01, {}, "crowd"});
  const size_t shown = occurrences(to_svg(plot), ">crowd<");
  EXPECT_GE(shown, 1u);
  EXPECT_LE(shown, 6u);
}

TEST(Plot, TooManyLinesAreRefused) {
  Plot plot;
  plot.lines.resize(11);
  EXPECT_THROW(to_svg(plot), Error);
}

TEST(PlotAxis, LogarithmicMarksAreRound) {
  const PlotAxis axis(0.003, 0.4, 100, 0, true);
  std::string all;
  for (const auto& m : axis.marks()) all += m.text + " ";
  EXPECT_EQ(all, "0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 ");
  EXPECT_NEAR(axis.place(0.002), 100, 1e-9);
  EXPECT_NEAR(axis.place(0.5), 0, 1e-9);
  EXPECT_NEAR(axis.place(std::sqrt(0.002 * 0.5)), 50, 1e-9);
}

RC_GTEST_PROP(Plot, AnyNumbersAndNamesGiveAPicture, (std::string name, bool log_y)) {
  const auto value = [] {
    return *rc::gen::oneOf(rc::gen::arbitrary<double>(),
                           rc::gen::map(rc::gen::inRange(-5, 5), [](int v) { return v * 1.0; }),
                           rc::gen::element(1e99, -1e99, 1e-99, 1e15, 1e15 + 1));
  };
  Plot plot{.title = name, .x_label = name, .y_label = name, .log_y = log_y, .lines = {}};
  PlotLine line{name, {}};
  const int points = *rc::gen::inRange(0, 5);
  for (int i = 0; i < points; ++i) {
    line.points.push_back({value(), value(), Interval{value(), value()}, name});
  }
  plot.lines = {line, line};
  const std::string svg = to_svg(plot);
  RC_ASSERT(what_is_wrong(svg) == "");
  RC_ASSERT(svg.size() < 400'000u);
}

}  // namespace
}  // namespace pith::audit
