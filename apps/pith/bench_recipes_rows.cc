// What is kept and printed of an archive.
#include <cmath>

#include "bench_recipes.h"
#include "harm_report.h"

namespace pith::bench {
namespace {

Json perplexity_json(const audit::Loss& loss) {
  Json j = {{"mean", loss.perplexity()}};
  if (loss.loss.interval) {
    j["interval"] = {std::exp(loss.loss.interval->low), std::exp(loss.loss.interval->high)};
  }
  return j;
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

void add_measured(Json& row, const audit::Evaluation& e, const audit::Harm& harm,
                  const audit::HarmOptions& options) {
  row["kl"] = command::mean_json(e.divergence->kl);
  row["perplexity"] = perplexity_json(e.model);
  row["reference_perplexity"] = perplexity_json(*e.reference);
  row["same_best"] = command::mean_json(e.divergence->same_best);
  row["loss_difference"] = command::mean_json(e.divergence->loss_difference);
  row["tokens"] = e.scored;
  row["harm"] = command::harm_json(harm, options);
}

}  // namespace pith::bench
