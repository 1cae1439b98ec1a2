// What came of fitting a model, or what is to be expected of it.
#include "compress.h"
#include "memory_use.h"
#include "message.h"
#include "output.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

std::string bits_of(double bits) { return fmt::format("{:.3f}", bits); }

}  // namespace

Json to_json(const FittedModel& f) {
  const weights::ModelPlan& p = f.plan;
  Json tensors = Json::array();
  for (const weights::PlannedTensor& t : p.tensors) {
    tensors.push_back({{"name", t.name}, {"form", t.form}, {"bits", t.bits}, {"loss", t.loss}});
  }
  Json out = {{"tensors", tensors},
              {"bytes", p.bytes},
              {"overhead", p.overhead},
              {"weights", p.weights},
              {"divergence", p.estimated ? Json(p.divergence) : Json()}};
  if (!p.note.empty()) out["note"] = p.note;
  if (f.measured) {
    out["held_out"] = {{"tokens", f.measured->tokens},
                       {"divergence", f.measured->divergence},
                       {"perplexity", f.measured->perplexity},
                       {"perplexity_before", f.measured->perplexity_before},
                       {"same_best", f.measured->same_best}};
  }
  return out;
}

void report_fit(const CompressArguments& a, const FittedModel& f,
                const archive::WriteReport* report) {
  const weights::ModelPlan& p = f.plan;
  const double bytes = report ? static_cast<double>(report->stored) : p.bytes;
  if (a.json && !report) print_json(to_json(f));
  if (a.quiet) return;
  if (a.verbose || !report) {
    Table table({"tensor", "form", ">bits/weight", ">loss"});
    for (const weights::PlannedTensor& t : p.tensors) {
      table.row({t.name, t.form, bits_of(t.bits), fmt::format("{:.2e}", t.loss)});
    }
    std::fputs(table.text().c_str(), stderr);
  }
  note("{} bits a weight: {} for {} weights, {} of them beside the matrices",
       bits_of(8 * bytes / static_cast<double>(p.weights)), size_text(static_cast<uint64_t>(bytes)),
       p.weights, size_text(p.overhead));
  if (!p.note.empty()) note("{}", p.note);
  if (p.estimated) note("divergence to expect: {:.5f} nats a token", p.divergence);
  if (f.measured) {
    note(
        "on {} tokens that no fit has seen: divergence {:.5f}, perplexity {:.3f} (it was {:.3f}), "
        "same best token {:.2f}%",
        f.measured->tokens, f.measured->divergence, f.measured->perplexity,
        f.measured->perplexity_before, 100 * f.measured->same_best);
  }
  for (const StageTime& t : f.stages) {
    if (a.verbose) note("{}: {}", t.stage, time_text(t.seconds));
  }
  note("time: {}, peak memory {}", time_text(f.seconds), size_text(memory_use().peak));
}

}  // namespace pith::command
