#include "harm_report.h"

#include <cmath>

#include "table.h"

namespace pith::command {
namespace {

Json group_json(const audit::GroupHarm& g) {
  return {{"name", g.name},
          {"tokens", g.tokens},
          {"reference_loss", g.reference_loss},
          {"kl", g.divergence},
          {"rise", g.rise},
          {"risen", g.risen},
          {"worst_rise", g.worst_rise},
          {"flips", g.flips}};
}

Json confidence_json(const audit::Confidence& c) {
  return {{"error", c.error}, {"right", c.right}};
}

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(); }

void add_row(Table& table, const audit::GroupHarm& g) {
  table.row({g.name, std::to_string(g.tokens), fmt::format("{:.3f}", 100 * g.risen),
             fmt::format("{:.5f}", g.rise), fmt::format("{:.4f}", g.worst_rise),
             fmt::format("{:.3f}", 100 * g.flips)});
}

}  // namespace

Json mean_json(const audit::Measured& m) {
  Json j = {{"mean", m.mean}};
  if (m.interval) j["interval"] = {m.interval->low, m.interval->high};
  return j;
}

Json harm_json(const audit::Harm& harm, const audit::HarmOptions& options) {
  Json groups = Json::object();
  for (const audit::Harm::Groups& of : harm.groupings) {
    Json list = Json::array();
    for (const audit::GroupHarm& g : of.groups) list.push_back(group_json(g));
    groups[of.name] = std::move(list);
  }
  return {{"threshold", options.risen},
          {"worst", options.worst},
          {"bins", options.bins},
          {"all", group_json(harm.all)},
          {"risen", mean_json(harm.risen)},
          {"flips", mean_json(harm.flips)},
          {"by", std::move(groups)},
          {"confidence", confidence_json(harm.confidence)},
          {"reference_confidence", confidence_json(harm.reference_confidence)},
          {"reference_loss_of_flips", number(harm.reference_loss_of_flips)},
          {"reference_loss_of_others", number(harm.reference_loss_of_others)}};
}

std::string harm_text(const audit::Harm& harm, const audit::HarmOptions& options) {
  Table table({"tokens", ">how many", fmt::format(">% whose loss rose by {:g}", options.risen),
               ">mean rise", fmt::format(">of the worst {:g}%", 100 * options.worst),
               ">% with another top token"});
  add_row(table, harm.all);
  for (const audit::Harm::Groups& of : harm.groupings) {
    for (const audit::GroupHarm& g : of.groups) add_row(table, g);
  }
  std::string text = table.text();
  if (std::isfinite(harm.reference_loss_of_flips)) {
    text += fmt::format("\nthe reference's loss where the top token is another: {:.4f}",
                        harm.reference_loss_of_flips);
    if (std::isfinite(harm.reference_loss_of_others)) {
      text += fmt::format(", elsewhere: {:.4f}", harm.reference_loss_of_others);
    }
    text += "\n";
  }
  return text + fmt::format("calibration error of the confidence: {:.4f}, the reference's {:.4f}\n",
                            harm.confidence.error, harm.reference_confidence.error);
}

}  // namespace pith::command
