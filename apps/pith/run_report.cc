#include <fmt/ranges.h>

#include "memory_use.h"
#include "message.h"
#include "run.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

double per_second(uint64_t n, double seconds) {
  return seconds > 0 ? static_cast<double>(n) / seconds : 0;
}

std::string store_text(const Runner& runner) {
  const model::StoreUse& use = runner.used;
  // Of several codings, what came in each.
  const std::string in =
      use.fetched_in.size() > 1 ? fmt::format(" as {}", fmt::join(use.fetched_in, " + ")) : "";
  return fmt::format("store   {}: {} fetched{} ({}), {} read meanwhile, {} pushed ({}, {:.3f} s)\n",
                     runner.store->name(), count_text(use.fetched, "token"), in,
                     size_text(use.fetched_bytes), use.recomputed, use.pushed,
                     size_text(use.pushed_bytes), use.push_seconds);
}

Json store_json(const Runner& runner) {
  const model::StoreUse& use = runner.used;
  return {{"name", runner.store->name()},        {"fetched_tokens", use.fetched},
          {"fetched_bytes", use.fetched_bytes},  {"fetched_tokens_in", use.fetched_in},
          {"recomputed_tokens", use.recomputed}, {"read_seconds", use.read_seconds},
          {"pushed_tokens", use.pushed},         {"pushed_bytes", use.pushed_bytes},
          {"push_seconds", use.push_seconds}};
}

}  // namespace

Json run_json(const RunArguments& a, const Runner& runner, const Run& run) {
  const model::Generated& w = run.written;
  const MemoryUse memory = memory_use();
  Json json = {{"model", a.model},
               {"chat", runner.chat.has_value()},
               {"prompt", run.prompt},
               {"prompt_ids", run.ids},
               {"text", w.text},
               {"ids", w.ids},
               {"stop", model::name(w.stop)},
               {"seed", a.sampler.seed},
               {"timing",
                {{"load_seconds", runner.load_seconds},
                 {"prompt_tokens", w.prompt_tokens},
                 {"prompt_seconds", w.prompt_seconds},
                 {"prompt_tokens_per_second", per_second(w.prompt_tokens, w.prompt_seconds)},
                 {"decode_tokens", w.steps},
                 {"decode_seconds", w.seconds},
                 {"decode_tokens_per_second", per_second(w.steps, w.seconds)}}},
               {"weight_bytes", runner.model.weight_bytes()},
               {"resident_bytes", memory.resident},
               {"peak_bytes", memory.peak}};
  if (runner.store) json["store"] = store_json(runner);
  return json;
}

void print_timing(const Runner& runner, const model::Generated& w) {
  const MemoryUse memory = memory_use();
  Table table({"", ">seconds", ">tokens", ">tokens/s"});
  table.row({"load", fmt::format("{:.3f}", runner.load_seconds), "", ""});
  const auto row = [&](const char* what, double seconds, uint64_t n) {
    table.row({what, fmt::format("{:.3f}", seconds), fmt::format("{}", n),
               fmt::format("{:.1f}", per_second(n, seconds))});
  };
  row("prompt", w.prompt_seconds, w.prompt_tokens);
  row("decode", w.seconds, w.steps);
  const std::string text =
      table.text() +
      fmt::format("memory  {} resident, {} at most, {} of weights\n", size_text(memory.resident),
                  size_text(memory.peak), size_text(runner.model.weight_bytes())) +
      (runner.store ? store_text(runner) : "");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace pith::command
