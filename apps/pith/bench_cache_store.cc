#include "bench_cache_store.h"

#include <algorithm>
#include <limits>

#include "bench_link.h"
#include "bench_measure.h"
#include "output.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/model/prompt.h"
#include "pith/model/prompt_store.h"

namespace pith::bench {
namespace {

using model::PromptStore;
using model::PromptStoreOptions;

struct Row {
  std::string coding;
  double megabytes = 0, stored_megabytes = 0;
  double fetch = 0, recompute = 0, both = 0;  // seconds to the first token, the best of the runs
  uint64_t fetched = 0, recomputed = 0;       // by both, tokens

  double over_better() const { return both / std::min(fetch, recompute); }
};

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
      const uint64_t bytes = fill(coding);
      for (const double megabytes : options_.megabytes) {
        rows.push_back(row(coding, megabytes));
        rows.back().stored_megabytes = static_cast<double>(bytes) / 1e6;
      }
    }
    return rows;
  }

  size_t tokens() const { return ids_.size(); }

 private:
  PromptStoreOptions store_options(const std::string& coding) const {
    PromptStoreOptions o;
    o.coding = coding;
    o.chunk_tokens = options_.chunk_tokens;
    o.threads = options_.threads;
    o.problem = [](const std::string& what) { fail(ErrorKind::kIo, "{}", what); };
    return o;
  }

  model::Session session() const { return {model_, ids_.size(), options_.threads}; }

  // Bytes of all chunks.
  uint64_t fill(const std::string& coding) {
    PromptStore store(kv::open_store(server_.url(server_.port())), store_options(coding));
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
    PromptStoreOptions fetching = store_options(coding);
    fetching.recompute = false;
    PromptStore fetch(kv::open_store(server_.url(link.port())), fetching);
    PromptStore both(kv::open_store(server_.url(link.port())), store_options(coding));
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

  const CacheStoreOptions& options_;
  model::LanguageModel model_;
  std::vector<int32_t> ids_;
  RedisProcess server_;
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

void print_json(const std::vector<Row>& rows, size_t tokens) {
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
  command::print_json(all);
}

}  // namespace

void bench_cache_store(const CacheStoreOptions& options) {
  Bench bench(options);
  const std::vector<Row> rows = bench.run();
  options.json ? print_json(rows, bench.tokens()) : print(rows, bench.tokens());
}

}  // namespace pith::bench
