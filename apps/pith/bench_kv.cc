// Published and plain caches of keys and values at equal bytes, over several tasks: what is worth
// its bytes for what.
#include "bench_kv.h"

#include <algorithm>
#include <map>
#include <memory>

#include "bench_data.h"
#include "output.h"
#include "pith/audit/planted_facts.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"
#include "pith/model/model_hash.h"
#include "pith/recipe/cache_claims.h"
#include "pith/recipe/cache_recipes.h"
#include "pith/recipe/cache_sizes.h"
#include "pith/weights/journal.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using audit::CacheTrials;
using audit::Reading;

// Results of other versions of what is measured here are not used again.
constexpr std::string_view kRows = "kv 3", kChunkRows = "kv 4";

struct Contestant {
  std::string name, cache;
  bool shown = true;        // else for what a claim compares
  bool fixed = false;       // only as it is
  bool as_composed = true;  // as it is too
};

// Beside the published ones: of each the size is turned.
const std::vector<Contestant> kPlain = {
    {"codes by token", "cache(uniform(4, group=32), keys_by=token, window=32, tile=64)"},
    {"blocks", "cache(ggml(q4_0), keys_by=token, window=32, tile=64)"},
    {"integers > rans", "cache(integer(bits=3) > rans, window=32, tile=64)"},
    {"latest tokens", "cache(keep=top(recency), budget=25%, window=32, tile=16)"}};
// As they are.
constexpr const char* kFixed[] = {"uniform(8, group=32)",
                                  "uniform(4, group=32)",
                                  "uniform(3, group=32)",
                                  "uniform(2, group=32)",
                                  "ggml(q8_0)",
                                  "ggml(q4_0)",
                                  "integer(bits=3) > rans",
                                  "integer(bits=2) > rans",
                                  "zeros"};

// Trials of one model: what is measured, and one trial of another text that sizes are sought on.
struct Continued {
  CacheTrials sizing, trials, copied;
};
// Facts told by a model that was built for it, or one that was trained on such prose. The model is
// declared first: the trials refer to it.
struct Recalled {
  Recalled(const KvOptions& o, const std::string& tuning, const std::string& text, uint64_t count)
      : model(o.recall.empty() ? audit::make_recall_model() : model::load_model(o.recall)),
        sizing(model,
               o.recall.empty() ? pairs(1, o.seed + 1) : passwords(model, tuning, 1, o.seed + 1),
               o.threads),
        trials(model,
               o.recall.empty() ? pairs(count, o.seed) : passwords(model, text, count, o.seed),
               o.threads) {}
  model::LanguageModel model;
  CacheTrials sizing, trials;
};

audit::TrialCache trial_cache(const std::string& text) {
  if (recipe::codes_chunks(text)) return audit::ChunkedCache{recipe::chunk_coding(text)};
  return kv::CacheOptions::parse(text);
}

// Whether it matters how a prompt is read.
bool has_phases(const audit::TrialCache& cache) {
  const auto* options = std::get_if<kv::CacheOptions>(&cache);
  return !options || options->keep;
}

// What caches hold of the trials that sizes are sought on; what was measured stays known.
class Sizes {
 public:
  explicit Sizes(const CacheTrials& sizing) : sizing_(sizing) {}

  // Empty: the smallest holds more.
  std::string at_most(const std::vector<std::string>& ladder, double bits) {
    return recipe::largest_cache(ladder, bits, [&](const std::string& c) { return bits_of(c); });
  }
  double bits_of(const std::string& cache) {
    const auto [at, fresh] = known_.try_emplace(cache, 0);
    if (fresh) at->second = sizing_.bits(trial_cache(cache), Reading::kPieces);
    return at->second;
  }

 private:
  const CacheTrials& sizing_;
  std::map<std::string, double> known_;
};

// That of a file, or of one of those that come with the benchmarks.
std::string text_of(const std::string& file, const char* name) {
  return command::text_of(file.empty() ? (shared_data() / "text" / name).string() : file);
}

class KvBench {
 public:
  KvBench(const KvOptions& o, Report& report)
      : options_(o),
        report_(report),
        model_(model::load_model(o.model.empty() ? reference_model().parent_path()
                                                 : fs::path(o.model))),
        text_(text_of(o.text, "books-test.txt")),
        tuning_(text_of(o.tuning, "books-valid.txt")),
        journal_(o.output.empty() ? fs::path() : fs::path(o.output + ".rows")),
        model_hash_(model::model_hash(model_, 2 * kTrialTokens, o.threads)),
        profiles_(
            model_, model_hash_, [&o] { return text_of(o.calibration, "books-calibration.txt"); },
            journal_, o.threads),
        continued_{{model_, continuations(model_, tuning_, 1), o.threads},
                   {model_, continuations(model_, text_, windows()), o.threads},
                   {model_, copies(model_, text_, windows(), Passage::kAgain), o.threads}},
        recalled_(o, tuning_, text_, o.quick ? 10 : 40) {}

  void run() {
    note_setting();
    const std::vector<Contestant> all = contestants();
    std::vector<CacheRow> rows;
    for (const Contestant& c : all) {
      Sizes sizes(continued_.sizing);
      Sizes recall_sizes(recalled_.sizing);
      const size_t last = c.fixed ? 0 : options_.sizes.size();
      for (size_t i = c.as_composed ? 0 : 1; i <= last; ++i) {
        const double share = i == 0 ? 0 : options_.sizes[i - 1];
        report_.status(fmt::format("{}, {:g}%", c.name, 100 * share));
        rows.push_back(row(c, share, sizes, recall_sizes));
      }
    }
    report_caches(rows, full(), options_.sizes, report_);
    report_claims(rows, options_.sizes, report_);
    write(rows);
  }

 private:
  uint64_t windows() const { return options_.quick ? 1 : options_.windows; }

  // What is named, or all; and what claims compare them with.
  std::vector<Contestant> contestants() const {
    std::vector<Contestant> out;
    const auto add = [&](Contestant c) -> Contestant& {
      const auto same = std::ranges::find(out, c.cache, &Contestant::cache);
      return same == out.end() ? out.emplace_back(std::move(c)) : *same;
    };
    const auto named = [](std::string_view text) -> Contestant {
      const recipe::CacheRecipe* r = recipe::find_cache_recipe(text);
      return {std::string(r ? r->name : text), composition(text)};
    };
    for (const std::string& c : options_.caches) add(named(c));
    if (options_.caches.empty()) {
      for (const recipe::CacheRecipe& r : recipe::all_cache_recipes()) {
        add(named(r.name));
      }
      for (const Contestant& c : kPlain) add(c);
    }
    for (const recipe::CacheClaim& claim : recipe::all_cache_claims()) {
      if (std::ranges::find(out, claim.recipe, &Contestant::name) == out.end()) continue;
      for (const std::string_view compared : {claim.cache, claim.than}) {
        Contestant c = named(compared);
        c.shown = c.as_composed = false;
        add(c).as_composed |= claim.as_composed;
      }
    }
    if (options_.caches.empty()) {
      for (const char* form : kFixed)
        out.push_back({form, fmt::format("cache({}, window=32, tile=64)", form), true, true});
    }
    return out;
  }

  CacheRow row(const Contestant& c, double share, Sizes& sizes, Sizes& recall_sizes) {
    const Hash128 key = key_of(c, share);
    if (const std::optional<Bytes> kept = journal_.find(key)) {
      const Json json = Json::parse(kept->begin(), kept->end(), nullptr, false);
      if (json.is_object()) return row_of(json);
    }
    CacheRow out{.name = c.name, .composed = c.cache, .share = share, .shown = c.shown};
    try {
      measure(c, sizes, recall_sizes, out);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kIo) throw;
      out.error = e.what();
    }
    journal_.keep(key, as_bytes(to_json(out).dump()));
    return out;
  }

  void measure(const Contestant& c, Sizes& sizes, Sizes& recall_sizes, CacheRow& out) {
    out.cache = found(c, out.share, sizes, model_.config().head_size);
    const audit::TrialCache cache = trial_cache(out.cache);
    out.pieces = continued_.trials.judge(cache, Reading::kPieces);
    if (c.shown) {
      if (has_phases(cache)) out.whole = continued_.trials.judge(cache, Reading::kWhole);
      out.copied = continued_.copied.judge(cache, Reading::kPieces);
    }
    recall(c, recall_sizes, out);
  }

  // That model's heads are others, so that sizes are; not all caches are for them.
  void recall(const Contestant& c, Sizes& sizes, CacheRow& out) {
    try {
      const audit::TrialCache cache =
          trial_cache(found(c, out.share, sizes, recalled_.model.config().head_size));
      out.recall = recalled_.trials.judge(cache, Reading::kPieces);
      if (has_phases(cache) && c.shown)
        out.recall_whole = recalled_.trials.judge(cache, Reading::kWhole);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kLimit && e.kind() != ErrorKind::kUsage) throw;
    }
  }

  // The cache of the size that is asked for.
  std::string found(const Contestant& c, double share, Sizes& sizes, uint64_t head_size) {
    const std::string composed = profiles_.ready(c.cache);
    if (share == 0) {
      return recipe::codes_chunks(composed) ? composed : recipe::cache_options(composed).text();
    }
    const std::vector<std::string> ladder = recipe::sizes_of_cache(composed, head_size);
    const std::string cache = sizes.at_most(ladder, 16 * share);
    if (cache.empty())
      fail(ErrorKind::kLimit, "its smallest holds {:.2f} bits", sizes.bits_of(ladder.front()));
    return cache;
  }

  CacheRow full() const {
    CacheRow out{.name = "all, as it is", .composed = ""};
    out.pieces = continued_.trials.full();
    out.copied = continued_.copied.full();
    out.recall = recalled_.trials.full();
    return out;
  }

  Hash128 key_of(const Contestant& c, double share) {
    return weights::KeyMaker()
        .add(recipe::codes_chunks(c.cache) ? kChunkRows : kRows)
        .add(PITH_VERSION)
        .add(c.name)
        .add(c.cache)
        .add(share)
        .add(uint64_t{c.shown})
        .add(model_hash_)
        .add(hash128(as_bytes(text_)))
        .add(hash128(as_bytes(tuning_)))
        .add(windows())
        .add(options_.recall)
        .add(options_.seed)
        .add(profiles_.hash(c.cache))
        .key();
  }

  void note_setting() {
    report_.note(fmt::format(
        "windows of {} tokens: 512 are read 16 at a time, with the cache, and the others "
        "predicted; "
        "{} windows of the text; passages of 64 tokens that were there 384 tokens ago, 48 of them "
        "predicted; sizes are sought on another text",
        kTrialTokens, windows()));
    report_.note(
        "bits: held for each number read at a window's end, everything counted, the tokens that "
        "lie "
        "as they are as numbers of 16 bits; divergence from the full cache in thousandths of a "
        "nat");
    const CacheTrials first(model_, copies(model_, text_, windows(), Passage::kFirst),
                            options_.threads);
    report_.note(fmt::format(
        "copies with a full cache: {:.3f} nats a token, {:.3f} where the passages stand "
        "first: the less there is between them, the less a cache can lose",
        continued_.copied.full().loss, first.full().loss));
    report_.note(
        "axes: of profiles of a third text; heads of the model that is asked for facts have none");
    report_.note(fmt::format(
        "facts: asked for at the end of {}; by what is left then, nobody knew the question before",
        options_.recall.empty() ? "1000 words drawn at random, of a model that is built to recall"
                                : "prose, of " + options_.recall));
  }

  void write(const std::vector<CacheRow>& rows) const {
    if (options_.output.empty()) return;
    Json all = {{"benchmark", "kv"}, {"version", PITH_VERSION}, {"full", to_json(full())}};
    all["rows"] = Json::array();
    for (const CacheRow& r : rows) all["rows"].push_back(to_json(r));
    all["seed"] = options_.seed;
    all["front"] = Json::array();
    for (const CacheRow* r : front(rows))
      all["front"].push_back({{"cache", r->cache}, {"bits", r->pieces.bits}});
    write_file(options_.output, as_bytes(all.dump(1) + "\n"), true);
  }

  const KvOptions& options_;
  Report& report_;
  model::LanguageModel model_;
  std::string text_, tuning_;
  weights::Journal journal_;
  Hash128 model_hash_;
  Profiles profiles_;
  Continued continued_;
  Recalled recalled_;
};

}  // namespace

void bench_kv(const KvOptions& given) {
  KvOptions o = given;
  std::ranges::sort(o.sizes, std::greater());
  for (const double size : o.sizes) {
    if (!(size > 0) || !(size <= 1))
      fail(ErrorKind::kUsage, "--sizes: {} is no share of f16", size);
  }
  if (std::ranges::adjacent_find(o.sizes) != o.sizes.end())
    fail(ErrorKind::kUsage, "--sizes: a number comes twice");
  for (const std::string& c : o.caches) {
    const recipe::CacheRecipe* r = recipe::find_cache_recipe(c);
    if (r && !r->profile.empty()) continue;  // its profile is made here
    try {
      if (recipe::codes_chunks(c)) {
        recipe::chunk_coding(c);
      } else {
        recipe::cache_options(c).tile_bits(64);  // of the reference model's heads
      }
    } catch (const Error& e) {
      throw e.in("--cache " + c);
    }
  }
  Report report("kv", false);
  KvBench(o, report).run();
  report.finish();
}

}  // namespace pith::bench
