#include "bench_cache_store.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "../../src/kv/testing_link.h"
#include "../../src/kv/testing_redis.h"
#include "bench_measure.h"
#include "output.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/model/prompt.h"
#include "pith/model/prompt_store.h"

namespace pith::bench {
namespace {

using kv::testing::RedisServer;
using kv::testing::ShapedLink;
using model::PromptStore;
using model::PromptStoreOptions;

struct Row {
  std::string coding;
  double megabytes = 0, stored_megabytes = 0;
  double fetch = 0, recompute = 0, both = 0;  // seconds to the first token, the best of the runs
  uint64_t fetched = 0, recomputed = 0;       // by both, tokens

  double over_better() const { return both / std::min(fetch, recompute); }
};

// Behind a link that changes: seconds to the first token, the median of the runs.
struct ChangeRow {
  std::string change;
  double finest = 0, coarsest = 0, recompute = 0, levels = 0;
  int in_time = 0;                   // of the runs, with levels
  std::vector<uint64_t> fetched_in;  // each level, tokens, of the last run
};

// "20-1": from 20 to 1 MB a second, by equal factors in equal times.
ShapedLink::Trace trace_of(const std::string& change, double seconds) {
  double from = 0, to = 0;
  int read = 0;
  if (std::sscanf(change.c_str(), "%lf-%lf%n", &from, &to, &read) != 2 ||
      static_cast<size_t>(read) != change.size() || !(from > 0) || !(to > 0))
    fail(ErrorKind::kUsage, "--changes: {} is not MB-MB", change);
  return
      [=](double t) { return 1e6 * from * std::pow(to / from, std::clamp(t / seconds, 0.0, 1.0)); };
}

class Bench {
 public:
  explicit Bench(const CacheStoreOptions& o) : options_(o), model_(model::load_model(o.model)) {
    const MappedFile text(o.text);
    ids_ = model::text_ids(
        model_, {reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size()});
    if (ids_.size() < o.tokens) {
      fail(ErrorKind::kUsage, "{}: {} tokens, {} are asked for", o.text, ids_.size(), o.tokens);
    }
    ids_.resize(o.tokens);
  }

  std::vector<Row> run() {
    std::vector<Row> rows;
    for (const std::string& coding : options_.codings) {
      const uint64_t bytes = fill({coding});
      for (const double megabytes : options_.megabytes) {
        rows.push_back(row(coding, megabytes));
        rows.back().stored_megabytes = static_cast<double>(bytes) / 1e6;
      }
    }
    return rows;
  }

  std::vector<ChangeRow> run_changes() {
    std::vector<ChangeRow> rows;
    if (!options_.changes.empty()) fill(options_.levels);
    for (const std::string& change : options_.changes) rows.push_back(change_row(change));
    return rows;
  }

  size_t tokens() const { return ids_.size(); }

 private:
  PromptStoreOptions store_options(std::vector<std::string> codings) const {
    PromptStoreOptions o;
    o.codings = std::move(codings);
    o.chunk_tokens = options_.chunk_tokens;
    o.threads = options_.threads;
    o.problem = [](const std::string& what) { fail(ErrorKind::kIo, "{}", what); };
    return o;
  }

  std::string url(uint16_t port) const {
    return fmt::format("{}?timeout=60", server_.url("", port));
  }
  model::Session session() const { return {model_, ids_.size(), options_.threads}; }

  // Bytes of all chunks.
  uint64_t fill(const std::vector<std::string>& codings) {
    PromptStore store(kv::open_store(url(server_.port())), store_options(codings));
    model::Session s = session();
    store.read(s, ids_);
    s.feed(std::span(ids_).subspan(s.position()));
    store.push(s, ids_);
    return store.use().pushed_bytes;
  }

  double first_token(PromptStore* store) const {
    model::Session s = session();
    const double start = now();
    if (store) store->read(s, ids_);
    const uint64_t before = s.position();
    const double reading = now();
    s.feed(std::span(ids_).subspan(before));
    const double end = now();
    if (store) store->took(ids_.size() - before, end - reading);
    return end - start;
  }

  Row row(const std::string& coding, double megabytes) {
    Row out{.coding = coding, .megabytes = megabytes};
    const ShapedLink link(server_.port(), megabytes * 1e6, options_.milliseconds / 1e3);
    PromptStoreOptions fetching = store_options({coding});
    fetching.recompute = false;
    PromptStore fetch(kv::open_store(url(link.port())), fetching);
    PromptStore both(kv::open_store(url(link.port())), store_options({coding}));
    out.fetch = out.recompute = out.both = std::numeric_limits<double>::infinity();
    // The first round makes connections and measures how fast the model is, as in a program that
    // has served before.
    for (int run = 0; run <= options_.runs; ++run) {
      const double f = first_token(&fetch), r = first_token(nullptr);
      if (run == 0) both.took(ids_.size(), r);
      const double b = first_token(&both);
      if (run == 0) continue;
      out.fetch = std::min(out.fetch, f);
      out.recompute = std::min(out.recompute, r);
      if (b < out.both) {
        out.both = b;
        out.fetched = both.use().fetched;
        out.recomputed = ids_.size() - out.fetched;
      }
    }
    return out;
  }

  // Through a link that begins anew, by a store that knows how fast the model is and nothing else.
  double through(ShapedLink& link, const PromptStoreOptions& o, double recomputing,
                 ChangeRow* of = nullptr) const {
    PromptStore store(kv::open_store(url(link.port())), o);
    store.took(ids_.size(), recomputing);
    link.begin();
    const double seconds = first_token(&store);
    if (of) of->fetched_in = store.use().fetched_in;
    return seconds;
  }

  ChangeRow change_row(const std::string& change) const {
    ChangeRow out{.change = change, .fetched_in = {}};
    ShapedLink link(server_.port(), trace_of(change, options_.deadline),
                    options_.milliseconds / 1e3);
    PromptStoreOptions finest = store_options({options_.levels.front()});
    PromptStoreOptions coarsest = store_options({options_.levels.back()});
    finest.recompute = coarsest.recompute = false;
    PromptStoreOptions levels = store_options(options_.levels);
    levels.deadline = options_.deadline;
    std::vector<double> f, c, r, l;
    for (int run = 0; run < options_.runs; ++run) {
      r.push_back(first_token(nullptr));
      f.push_back(through(link, finest, r.back()));
      c.push_back(through(link, coarsest, r.back()));
      l.push_back(through(link, levels, r.back(), &out));
      out.in_time += l.back() <= options_.deadline;
    }
    const auto median = [](std::vector<double>& of) {
      std::ranges::sort(of);
      return of[of.size() / 2];
    };
    out.finest = median(f);
    out.coarsest = median(c);
    out.recompute = median(r);
    out.levels = median(l);
    return out;
  }

  const CacheStoreOptions& options_;
  model::LanguageModel model_;
  std::vector<int32_t> ids_;
  RedisServer server_;
};

void print(const std::vector<Row>& rows, size_t tokens) {
  fmt::print("Seconds to the first token behind a prompt of {} tokens.\n\n", tokens);
  fmt::print(
      "| chunks | MB stored | link, MB/s | all fetched | all recomputed | both at once | "
      "tokens fetched | of the better |\n|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const Row& r : rows) {
    fmt::print("| `{}` | {:.2f} | {:g} | {:.4f} | {:.4f} | {:.4f} | {} | {:.2f}x |\n", r.coding,
               r.stored_megabytes, r.megabytes, r.fetch, r.recompute, r.both, r.fetched,
               r.over_better());
  }
}

void print_changes(const std::vector<ChangeRow>& rows, const CacheStoreOptions& o) {
  fmt::print("\nWithin {:g} s, over links that change, in:", o.deadline);
  for (const std::string& level : o.levels) fmt::print(" `{}`", level);
  fmt::print(
      "\n\n| link, MB/s | all fetched in the finest | in the coarsest | all recomputed | levels | "
      "in time | tokens fetched in each |\n|---|---:|---:|---:|---:|---:|---:|\n");
  for (const ChangeRow& r : rows) {
    fmt::print("| {} | {:.4f} | {:.4f} | {:.4f} | {:.4f} | {} of {} | {} |\n", r.change, r.finest,
               r.coarsest, r.recompute, r.levels, r.in_time, o.runs,
               fmt::join(r.fetched_in, " + "));
  }
}

void print_json(const std::vector<Row>& rows, const std::vector<ChangeRow>& changes, size_t tokens,
                const CacheStoreOptions& o) {
  command::Json all = command::Json::array();
  for (const Row& r : rows) {
    all.push_back({{"coding", r.coding},
                   {"tokens", tokens},
                   {"stored_megabytes", r.stored_megabytes},
                   {"link_megabytes_per_second", r.megabytes},
                   {"fetch_seconds", r.fetch},
                   {"recompute_seconds", r.recompute},
                   {"both_seconds", r.both},
                   {"fetched_tokens", r.fetched},
                   {"recomputed_tokens", r.recomputed}});
  }
  for (const ChangeRow& r : changes) {
    all.push_back({{"codings", o.levels},
                   {"tokens", tokens},
                   {"link_megabytes_per_second", r.change},
                   {"deadline_seconds", o.deadline},
                   {"finest_fetch_seconds", r.finest},
                   {"coarsest_fetch_seconds", r.coarsest},
                   {"recompute_seconds", r.recompute},
                   {"levels_seconds", r.levels},
                   {"in_time", r.in_time},
                   {"runs", o.runs},
                   {"fetched_tokens_in", r.fetched_in}});
  }
  command::print_json(all);
}

}  // namespace

void bench_cache_store(const CacheStoreOptions& options) {
  Bench bench(options);
  const std::vector<Row> rows = bench.run();
  const std::vector<ChangeRow> changes = bench.run_changes();
  if (options.json) return print_json(rows, changes, bench.tokens(), options);
  print(rows, bench.tokens());
  if (!changes.empty()) print_changes(changes, options);
}

}  // namespace pith::bench
