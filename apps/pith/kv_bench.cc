// pith kv bench: caches of keys and values side by side on a model and a text.
#include <chrono>

#include "cache_option.h"
#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "pith/audit/evaluate_text.h"
#include "pith/base/file.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"
#include "pith/recipe/cache_recipes.h"
#include "progress_bar.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

constexpr uint64_t kSteps = 32;  // tokens that are read one at a time behind the context

struct Arguments {
  std::string model, text, budget, profile;
  std::vector<std::string> caches;
  uint64_t context = 512, windows = 2;
  int threads = 0;
  bool quiet = false, json = false;
};

struct Row {
  std::string cache;
  audit::Evaluation evaluation;
  double bits = 0;              // held for each number that was read
  uint64_t bytes = 0;           // of a session behind the context
  double prompt = 0, step = 0;  // tokens a second
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A context in one prompt and tokens behind it, with a plain cache where there is none.
void time(const model::LanguageModel& model, std::span<const int32_t> ids, const Arguments& a,
          const std::optional<kv::CacheOptions>& cache, Row& row) {
  model::Session session(model, a.context + kSteps, a.threads, 0, cache);
  const double prompt =
      seconds_of([&] { session.feed(ids.first(a.context), model::Logits::kNone); });
  row.bytes = session.cache_bytes();
  const double steps = seconds_of([&] {
    for (uint64_t i = 0; i < kSteps; ++i)
      session.feed(ids.subspan(a.context + i, 1), model::Logits::kLast);
  });
  row.prompt = static_cast<double>(a.context) / prompt;
  row.step = static_cast<double>(kSteps) / steps;
}

std::vector<Row> measure(const Arguments& a) {
  const model::LanguageModel model = model::load_model(a.model);
  const std::string text = text_of(a.text);
  const std::vector<int32_t> ids = model::text_ids(model, text);
  if (ids.size() < a.context + kSteps) {
    fail(ErrorKind::kUsage, "{}: {}, but a context of {} and {} behind it take {}", a.text,
         count_text(ids.size(), "token"), a.context, kSteps, a.context + kSteps);
  }
  std::vector<std::optional<kv::CacheOptions>> caches = {std::nullopt};
  for (const std::string& c : a.caches) {
    const std::string profile = recipe::needs_profile(c) ? a.profile : "";
    caches.push_back(cache_of(c, {}, profile));
    if (caches.back()->keep) caches.back() = cache_of(c, a.budget, profile);
    check_cache(model, c, caches.back());
    if (!a.quiet && caches.back()->keep) warn_of_budget(caches.back(), a.budget, a.context);
  }
  std::vector<Row> rows;
  for (size_t i = 0; i < caches.size(); ++i) {
    Row& row = rows.emplace_back();
    row.cache = i == 0 ? "full" : a.caches[i - 1];
    ProgressBar bar(row.cache, a.quiet, ProgressUnit::kOther);
    time(model, ids, a, caches[i], row);
    audit::PerplexityOptions options{
        .context = a.context, .max_windows = a.windows, .threads = a.threads};
    options.progress = bar.callback();
    auto found =
        audit::evaluate_text(model, text, options, {}, caches[i] ? &model : nullptr, caches[i]);
    row.bits = found.cache_bits.value_or(8 * sizeof(float));
    row.evaluation = std::move(found.evaluation);
    bar.clear();
  }
  return rows;
}

std::string table(const std::vector<Row>& rows) {
  Table t({"cache", ">bits a number", ">f16 over it", ">divergence", ">same best, %", ">perplexity",
           ">memory", ">prompt, tokens/s", ">steps, tokens/s"});
  for (const Row& r : rows) {
    const auto& d = r.evaluation.divergence;
    t.row({r.cache, fmt::format("{:.2f}", r.bits), fmt::format("{:.2f}", 16 / r.bits),
           d ? fmt::format("{:.2e}", d->kl.mean) : "-",
           d ? fmt::format("{:.2f}", 100 * d->same_best.mean) : "-",
           fmt::format("{:.3f}", r.evaluation.model.perplexity()), size_text(r.bytes),
           fmt::format("{:.0f}", r.prompt), fmt::format("{:.0f}", r.step)});
  }
  return t.text();
}

Json to_json(const std::vector<Row>& rows) {
  Json all = Json::array();
  for (const Row& r : rows) {
    all.push_back({{"cache", r.cache},
                   {"bits_per_number", r.bits},
                   {"perplexity", r.evaluation.model.perplexity()},
                   {"session_bytes", r.bytes},
                   {"prompt_tokens_per_second", r.prompt},
                   {"step_tokens_per_second", r.step}});
    if (const auto& d = r.evaluation.divergence) {
      all.back()["kl"] = d->kl.mean;
      all.back()["same_best"] = d->same_best.mean;
    }
  }
  return all;
}

void bench(const Arguments& a) {
  const std::vector<Row> rows = measure(a);
  a.json ? print_json(to_json(rows)) : write_stdout(table(rows));
}

constexpr const char* kExamples =
    R"(Bits are all that is held for each number of the keys and values read, of which those in the window count as 16.
Divergence and the most probable tokens are beside the full cache, of texts read 16 tokens at a time; memory and
speed are those of a prompt of --context tokens and of 32 read one by one behind it.

Examples:
  pith kv bench lm --text book.txt
  pith kv bench lm --text book.txt --kv 'uniform(4, group=32)' --kv S023 --kv-budget 25% --context 1000)";

}  // namespace

void add_kv_bench(CLI::App& kv) {
  const auto a = std::make_shared<Arguments>();
  a->caches = {"ggml(q8_0)", "ggml(q4_0)", "uniform(4, group=32)", "uniform(2, group=32)"};
  CLI::App* c = kv.add_subcommand("bench", "Compare caches on a model and a text");
  c->callback([a] { bench(*a); });
  c->add_option("model", a->model,
                "a GGUF file, a folder with config.json and safetensors, or an archive of either")
      ->type_name("MODEL")
      ->required();
  c->add_option("--text", a->text, "what it reads")->type_name("FILE")->required();
  c->add_option("--kv", a->caches, "a cache, as for `pith run` (repeatable); default: four forms")
      ->type_name("EXPR|NAME")
      ->check(not_empty())
      ->allow_extra_args(false);
  c->add_option("--kv-budget", a->budget,
                "tokens that caches which leave tokens out keep of each head: 256, or 25%")
      ->type_name("TOKENS")
      ->check(not_empty());
  c->add_option("--kv-profile", a->profile,
                "the model's axes, for caches that lie along such (pith kv profile)")
      ->type_name("FILE")
      ->check(not_empty());
  c->add_option("-c,--context", a->context, "tokens of a window, and of the prompt that is timed")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 24).description(""))
      ->capture_default_str();
  c->add_option("--windows", a->windows, "at most so many; 0: all")
      ->type_name("N")
      ->check(not_negative())
      ->capture_default_str();
  add_threads(c, a->threads);
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors and the result");
  c->add_flag("--json", a->json, "as JSON");
  c->footer(kExamples);
}

}  // namespace pith::command
