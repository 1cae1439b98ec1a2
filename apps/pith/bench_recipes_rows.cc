// What is kept and printed of an archive.
#include <cmath>

#include "bench_recipes.h"

namespace pith::bench {
namespace {

Json measured_json(const audit::Measured& m) {
  Json j = {{"mean", m.mean}};
  if (m.interval) j["interval"] = {m.interval->low, m.interval->high};
  return j;
}

Json perplexity_json(const audit::Loss& loss) {
  Json j = {{"mean", loss.perplexity()}};
  if (loss.loss.interval) {
    j["interval"] = {std::exp(loss.loss.interval->low), std::exp(loss.loss.interval->high)};
  }
  return j;
}

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

// What makes the same archive.
std::string command_of(const RecipesOptions& o, const Contestant& c, double bits,
                       const MadeArchive& made) {
  std::string command = fmt::format("pith compress {}", o.model);
  if (c.recipe) command += fmt::format(" --recipe {}", c.recipe->name);
  for (const auto& [key, value] : made.values) command += fmt::format(" -O {}={}", key, value);
  if (made.by_limit) command += fmt::format(" --bits {:g}", bits);
  if (!o.calibration.empty()) command += fmt::format(" --calibrate {}", o.calibration);
  if (o.tokens > 0) command += fmt::format(" --tokens {}", o.tokens);
  return command;
}

}  // namespace

Json asked_row(const Contestant& c, double bits) {
  Json row = {{"recipe", c.text}, {"asked", bits}};
  if (c.recipe) row["id"] = c.recipe->id;
  return row;
}

void add_made(Json& row, const RecipesOptions& o, const Contestant& c, const MadeArchive& made,
              uint64_t weights) {
  row["bytes"] = made.bytes;
  row["bits"] = 8 * static_cast<double>(made.bytes) / static_cast<double>(weights);
  row["setting"] = made.setting;
  row["command"] = command_of(o, c, row.at("asked"), made);
  row["seconds"] = made.seconds;
}

void add_measured(Json& row, const audit::Evaluation& e, const audit::Harm& harm, double risen) {
  row["kl"] = measured_json(e.divergence->kl);
  row["perplexity"] = perplexity_json(e.model);
  row["reference_perplexity"] = perplexity_json(*e.reference);
  row["same_best"] = measured_json(e.divergence->same_best);
  row["loss_difference"] = measured_json(e.divergence->loss_difference);
  row["tokens"] = e.scored;
  Json groups = Json::object();
  for (const audit::Harm::Groups& of : harm.groupings) {
    Json list = Json::array();
    for (const audit::GroupHarm& g : of.groups) list.push_back(group_json(g));
    groups[of.name] = std::move(list);
  }
  const auto number = [](double v) { return std::isfinite(v) ? Json(v) : Json(); };
  row["harm"] = {{"threshold", risen},
                 {"all", group_json(harm.all)},
                 {"risen", measured_json(harm.risen)},
                 {"flips", measured_json(harm.flips)},
                 {"by", std::move(groups)},
                 {"confidence", confidence_json(harm.confidence)},
                 {"reference_confidence", confidence_json(harm.reference_confidence)},
                 {"reference_loss_of_flips", number(harm.reference_loss_of_flips)},
                 {"reference_loss_of_others", number(harm.reference_loss_of_others)}};
}

}  // namespace pith::bench
