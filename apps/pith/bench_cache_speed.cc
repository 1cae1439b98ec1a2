#include "bench_cache_speed.h"

#include <algorithm>
#include <cmath>

#include "bench_llama.h"
#include "bench_report.h"
#include "pith/model/session.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::bench {
namespace {

constexpr const char* kPeerTypes[] = {"f16", "q8_0", "q4_0"};

// Seconds of a token behind the context, and behind nothing.
struct Times {
  double deep = INFINITY, shallow = INFINITY;
  uint64_t bytes = 0;  // of the cache behind the context

  double attention() const { return deep - shallow; }
};

class Bench {
 public:
  explicit Bench(const CacheSpeedOptions& o)
      : o_(o),
        report_("cache-speed", o.json),
        model_(model::load_model(o.model, {.tokenizer = false})) {
    ids_.resize(o.depth + o.steps * static_cast<uint64_t>(o.runs));
    for (size_t k = 0; k < ids_.size(); ++k)
      ids_[k] = static_cast<int32_t>((7919 * k + 13) % model_.config().vocabulary);
  }

  void run() {
    report_.note(fmt::format(
        "{} read one by one behind {} and behind none, {} thread{}, the best of {} runs{}; "
        "attention: the difference; ratios: f16 over it",
        o_.steps, o_.depth, o_.threads, o_.threads > 1 ? "s" : "", o_.runs,
        o_.clock == Clock::kCpu ? ", by CPU time" : ""));
    if (!has_llama()) report_.note(llama_hint());
    Table table({"program", "cache", "MB", "ms a token", "attention, ms", "ratio"});
    double f16 = NAN;
    for (const std::string& cache : o_.caches) {
      const Times t = ours(cache);
      if (cache == "dense(f16)") f16 = t.attention();
      add(table, "pith", cache, t, f16);
    }
    f16 = NAN;
    for (const char* type : kPeerTypes) {
      if (!has_llama()) break;
      report_.status(fmt::format("llama.cpp, {}", type));
      const DeepRun deep = llama_behind(
          o_.model, {type, o_.depth, o_.steps, o_.runs, o_.threads, o_.clock == Clock::kCpu});
      if (!deep.error.empty()) {
        report_.note(fmt::format("llama.cpp, {}: {}", type, deep.error));
        continue;
      }
      const Times t{deep.deep, deep.shallow};
      if (type == std::string("f16")) f16 = t.attention();
      add(table, "llama.cpp", type, t, f16);
    }
    report_.table(table);
    report_.finish();
  }

 private:
  static void add(Table& table, const char* program, const std::string& cache, const Times& t,
                  double f16) {
    table.add({text(program), text(cache),
               t.bytes > 0 ? number(static_cast<double>(t.bytes) / 1e6, 1) : none(),
               number(1e3 * t.deep, 2), number(1e3 * t.attention(), 2),
               std::isnan(f16) ? none() : number(f16 / t.attention(), 2)});
  }

  Times ours(const std::string& cache) {
    report_.status("pith, " + cache);
    std::optional<kv::CacheOptions> options;
    if (cache != "full") options = recipe::cache_options(cache);
    Times t;
    t.shallow = behind(0, options).deep;
    const Times deep = behind(o_.depth, options);
    t.deep = deep.deep;
    t.bytes = deep.bytes;
    return t;
  }

  Times behind(uint64_t depth, const std::optional<kv::CacheOptions>& cache) {
    model::Session session(model_, ids_.size(), o_.threads, 0, cache);
    const std::span all(ids_);
    session.feed(all.first(depth), model::Logits::kNone);
    Times t{.bytes = session.cache_bytes()};
    for (int run = 0; run < o_.runs; ++run) {
      const uint64_t from = depth + static_cast<uint64_t>(run) * o_.steps;
      const double s = time_of(
          [&] {
            for (uint64_t i = 0; i < o_.steps; ++i) session.feed(all.subspan(from + i, 1));
          },
          o_.clock);
      t.deep = std::min(t.deep, s / static_cast<double>(o_.steps));
    }
    return t;
  }

  const CacheSpeedOptions& o_;
  Report report_;
  model::LanguageModel model_;
  std::vector<int32_t> ids_;
};

}  // namespace

void bench_cache_speed(const CacheSpeedOptions& options) { Bench(options).run(); }

}  // namespace pith::bench
