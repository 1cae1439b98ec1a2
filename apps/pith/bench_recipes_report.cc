// Tables and the picture of `pith bench recipes`.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "bench_recipes.h"
#include "pith/audit/plot.h"
#include "pith/audit/size_curve.h"

namespace pith::bench {
namespace {

bool failed(const Json& row) { return row.contains("error"); }
double mean(const Json& measured) { return measured.at("mean"); }
std::string name(const Json& row) { return row.at("recipe"); }

std::string interval(const Json& measured, const char* format, double unit = 1) {
  if (!measured.contains("interval")) return "";
  const auto at = [&](int i) {
    return fmt::format(fmt::runtime(format), measured.at("interval").at(i).get<double>() * unit);
  };
  return fmt::format("{} … {}", at(0), at(1));
}

Cell percent(double share, int digits = 2) { return number(100 * share, digits); }
Cell maybe(const Json& j, int digits) { return j.is_null() ? none() : number(j, digits); }
Cell significant(double v) { return {fmt::format("{:.3g}", v), v}; }

std::vector<const Json*> at_size(const std::vector<Json>& rows, double size) {
  std::vector<const Json*> out;
  for (const Json& row : rows) {
    if (row.at("asked") == size) out.push_back(&row);
  }
  // Best first; those that failed stand last, as they came.
  std::ranges::stable_sort(out, {}, [](const Json* row) {
    return failed(*row) ? std::pair(true, 0.0) : std::pair(false, mean(row->at("kl")));
  });
  return out;
}

void losses(const std::vector<const Json*>& rows, Report& report) {
  double own = NAN;
  for (const Json* row : rows) {
    if (name(*row) == kDefault && !failed(*row)) own = mean(row->at("kl"));
  }
  Table table({"method", "setting", "bits", "KL", "95%", "KL, to pith's", "perplexity", "95%",
               "same top %", "95%", "s"});
  for (const Json* at : rows) {
    const Json& row = *at;
    if (failed(row)) {
      table.add({text(name(row)), text("failed: " + row.at("error").get<std::string>()), none(),
                 none(), none(), none(), none(), none(), none(), none(), none()});
      continue;
    }
    const double kl = mean(row.at("kl"));
    table.add({text(name(row)), text(row.at("setting")), number(row.at("bits"), 3), significant(kl),
               text(interval(row.at("kl"), "{:.3g}")), own > 0 ? significant(kl / own) : none(),
               number(mean(row.at("perplexity")), 3),
               text(interval(row.at("perplexity"), "{:.3f}")), percent(mean(row.at("same_best"))),
               text(interval(row.at("same_best"), "{:.2f}", 100)), number(row.at("seconds"), 1)});
  }
  report.table(table);
}

// Who is hurt.
void harm(const RecipesOptions& o, const std::vector<const Json*>& rows, Report& report) {
  std::vector<std::string> groups;
  std::vector<std::string> columns = {"method",
                                      fmt::format("loss rose by {:g} nats: % of tokens", o.risen),
                                      "95%",
                                      "mean rise",
                                      "of the worst 1%",
                                      "other top token %",
                                      "model's loss there",
                                      "elsewhere",
                                      "calibration error"};
  for (const Json* row : rows) {
    if (failed(*row)) continue;
    for (const auto& [of, list] : row->at("harm").at("by").items()) {
      for (const Json& g : list) groups.push_back(g.at("name"));
    }
    break;
  }
  std::vector<std::string> by = {"method"};
  for (const std::string& g : groups) by.push_back(fmt::format("{}: % risen", g));
  Table whole(columns), parts(by);
  for (const Json* at : rows) {
    if (failed(*at)) continue;
    const Json& h = at->at("harm");
    whole.add({text(name(*at)), percent(mean(h.at("risen"))),
               text(interval(h.at("risen"), "{:.2f}", 100)), number(h.at("all").at("rise"), 4),
               number(h.at("all").at("worst_rise"), 3), percent(mean(h.at("flips"))),
               maybe(h.at("reference_loss_of_flips"), 3),
               maybe(h.at("reference_loss_of_others"), 3),
               number(h.at("confidence").at("error"), 4)});
    std::vector<Cell> cells = {text(name(*at))};
    for (const auto& [of, list] : h.at("by").items()) {
      for (const Json& g : list) cells.push_back(percent(g.at("risen")));
    }
    parts.add(std::move(cells));
  }
  report.table(whole);
  report.table(parts);
}

std::vector<audit::SizedFile> sized(const std::vector<Json>& rows) {
  std::vector<audit::SizedFile> files;
  for (const Json& row : rows) {
    if (failed(row)) {
      files.push_back({"", "", 0, 0, NAN});
      continue;
    }
    files.push_back({name(row), "", row.at("bytes"), row.at("bits"), mean(row.at("kl"))});
  }
  return files;
}

// Where each stands at the sizes at which it has an archive, as the mean of its ranks.
std::vector<std::string> by_rank(const RecipesOptions& o, const std::vector<Json>& rows) {
  struct Ranks {
    std::string method;
    double sum = 0, count = 0;
  };
  std::vector<Ranks> all;
  for (const double size : o.sizes) {
    double rank = 0;
    for (const Json* row : at_size(rows, size)) {
      if (failed(*row)) continue;
      auto found = std::ranges::find(all, name(*row), &Ranks::method);
      if (found == all.end()) found = all.insert(all.end(), Ranks{name(*row)});
      found->sum += ++rank;
      found->count += 1;
    }
  }
  std::ranges::stable_sort(all, {}, [](const Ranks& r) { return r.sum / r.count; });
  std::vector<std::string> out;
  for (const Ranks& r : all) out.push_back(r.method);
  return out;
}

}  // namespace

void report_rows(const RecipesOptions& o, const std::vector<Json>& rows, Report& report) {
  for (const double size : o.sizes) {
    report.section(fmt::format("At most {:g} bits a weight", size));
    const std::vector<const Json*> here = at_size(rows, size);
    if (!here.empty() && !failed(*here[0])) {
      const Json& best = *here[0];
      report.note(
          fmt::format("the model itself: perplexity {:.3f} ({}), calibration error {:.4f}",
                      mean(best.at("reference_perplexity")),
                      interval(best.at("reference_perplexity"), "{:.3f}"),
                      best.at("harm").at("reference_confidence").at("error").get<double>()));
      report.note(fmt::format("least divergence: `{}`", best.at("command").get<std::string>()));
    }
    losses(here, report);
    harm(o, here, report);
  }
}

std::string recipes_svg(const RecipesOptions& o, const std::vector<Json>& rows,
                        std::string& left_out) {
  audit::Plot plot{.title = fmt::format("What published methods lose: {}", o.model),
                   .x_label = "bits a weight, whole archive",
                   .y_label = "KL divergence from the model, nats a token",
                   .log_y = true,
                   .lines = {}};
  const std::vector<audit::SizedFile> files = sized(rows);
  std::vector<std::string> without;
  constexpr size_t kMost = 10;  // that can be told apart
  for (const std::string& method : by_rank(o, rows)) {
    if (plot.lines.size() == kMost) {
      without.push_back(method);
      continue;
    }
    audit::PlotLine& line = plot.lines.emplace_back();
    line.name = method;
    for (const size_t i : audit::frontier(files, method)) {
      const Json& kl = rows[i].at("kl");
      std::optional<audit::Interval> range;
      if (kl.contains("interval")) range = {kl.at("interval").at(0), kl.at("interval").at(1)};
      line.points.push_back({files[i].bits, files[i].loss, range, ""});
    }
  }
  left_out = without.empty() ? "" : fmt::format("{}", fmt::join(without, ", "));
  return audit::to_svg(plot);
}

}  // namespace pith::bench
