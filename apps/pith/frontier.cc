// pith compress --frontier: one model at several sizes, and what each of them loses.
#include <fmt/format.h>

#include "compress.h"
#include "message.h"
#include "pith/audit/plot.h"
#include "pith/base/file.h"
#include "progress_bar.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

// "m.pith" at 3.5 bits: "m-3.5.pith".
fs::path path_at(const fs::path& path, double bits) {
  return fs::path(path).replace_filename(
      fmt::format("{}-{:g}{}", path.stem().string(), bits, path.extension().string()));
}

struct Point {
  double asked = 0;  // bits a weight
  fs::path path;     // empty: nothing was written
  double bytes = 0;
  FittedModel fitted;
  double bits() const { return 8 * bytes / static_cast<double>(fitted.plan.weights); }
};

void print_table(const std::vector<Point>& points) {
  const bool measured = points[0].fitted.measured.has_value();
  const bool estimated = points[0].fitted.plan.estimated;
  std::vector<std::string> headers = {">bits", ">size"};
  if (estimated) headers.emplace_back(">expected");
  if (measured) {
    headers.insert(headers.end(), {">divergence", ">perplexity", ">same best"});
    note("perplexity before: {:.3f}", points[0].fitted.measured->perplexity_before);
  }
  headers.push_back("archive");
  Table table(headers);
  for (const Point& p : points) {
    std::vector<std::string> row = {fmt::format("{:.3f}", p.bits()),
                                    size_text(static_cast<uint64_t>(p.bytes))};
    if (estimated) row.push_back(fmt::format("{:.5f}", p.fitted.plan.divergence));
    if (p.fitted.measured) {
      row.push_back(fmt::format("{:.5f}", p.fitted.measured->divergence));
      row.push_back(fmt::format("{:.3f}", p.fitted.measured->perplexity));
      row.push_back(fmt::format("{:.2f}%", 100 * p.fitted.measured->same_best));
    }
    row.push_back(p.path.empty() ? "(nothing written)" : p.path.string());
    table.row(std::move(row));
  }
  std::fputs(table.text().c_str(), stderr);
}

void print_points(const std::vector<Point>& points) {
  Json all = Json::array();
  for (const Point& p : points) {
    Json j = {{"asked", p.asked}, {"bits", p.bits()}, {"bytes", p.bytes}};
    if (!p.path.empty()) j["archive"] = p.path.string();
    j["fit"] = to_json(p.fitted);
    all.push_back(std::move(j));
  }
  print_json({{"frontier", std::move(all)}});
}

void write_plot(const std::string& model, const std::vector<Point>& points, const fs::path& path,
                bool force) {
  audit::PlotLine measured{"measured on held-out text", {}, true}, expected{"expected", {}, true};
  for (const Point& p : points) {
    if (p.fitted.plan.estimated) {
      expected.points.push_back({p.bits(), p.fitted.plan.divergence, {}, ""});
    }
    if (!p.fitted.measured) continue;
    measured.points.push_back(
        {p.bits(), p.fitted.measured->divergence, {}, fmt::format("{:g}", p.asked)});
  }
  audit::Plot plot{.title = fmt::format("What compression loses: {}", model),
                   .x_label = "bits a weight, whole archive",
                   .y_label = "divergence from the model as it was, nats a token",
                   .log_y = true,
                   .lines = {}};
  if (!measured.points.empty()) plot.lines.push_back(std::move(measured));
  if (!expected.points.empty()) plot.lines.push_back(std::move(expected));
  write_file(path, as_bytes(audit::to_svg(plot)), force);
}

}  // namespace

void compress_frontier(const CompressArguments& a, CompressPlan& plan) {
  const std::vector<double> bits = frontier_of(a);
  const fs::path path = plan.path;
  const fs::path plot = fs::path(path).replace_extension(".svg");
  if (plan.target == Target::kFile) {
    // Known now: no reason to find out after hours.
    for (const double b : bits) output_path(path_at(path, b), a.force);
    output_path(plot, a.force);
  }
  ModelFit fit(a, plan);
  std::vector<Point> points;
  for (const double b : bits) {
    Point& p = points.emplace_back();
    p.asked = b;
    if (a.dry_run) {
      p.fitted = fit.expected({.bits = b});
      p.bytes = p.fitted.plan.bytes;
      continue;
    }
    p.fitted = fit.fit({.bits = b}, plan);
    p.path = plan.path = path_at(path, b);
    ProgressBar bar(plan.path.string(), a.quiet);
    plan.options.progress = bar.callback();
    p.bytes = static_cast<double>(write_plan(plan).stored);
    bar.clear();
    if (a.verbose && !a.quiet) note("{}: {:.3f} bits a weight", p.path.string(), p.bits());
  }
  if (!a.dry_run) write_plot(a.inputs[0], points, plot, a.force);
  fit.done();
  if (a.json) print_points(points);
  if (a.quiet) return;
  print_table(points);
  if (!a.dry_run)
    note("plot: {}; time: {}", plot.string(), time_text(points.back().fitted.seconds));
}

}  // namespace pith::command
