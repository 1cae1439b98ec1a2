// pith kv: caches of keys and values that are kept in stores.
#include <set>

#include "cache_option.h"
#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "pith/kv/brief.h"
#include "pith/model/prompt.h"
#include "progress_bar.h"
#include "run.h"
#include "signals.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

struct Arguments {
  std::string model, text, from, to, kv, profile;
  StoreArguments store;
  int threads = 0;
  bool quiet = false, json = false;
};

// --- push ---

void push(const Arguments& a) {
  if (a.store.where.empty()) fail(ErrorKind::kUsage, "--kv-store is required");
  const std::optional<kv::CacheOptions> cache = cache_of(a.kv);
  model::PromptStore::check(cache);
  std::string problem;
  model::PromptStoreOptions options = store_options(a.store, a.threads);
  options.problem = [&](const std::string& what) { problem = what; };
  auto to = kv::open_store(a.store.where);
  to->reach();  // before all is read for nothing
  model::PromptStore store(std::move(to), std::move(options));
  const model::LanguageModel model = model::load_model(a.model);
  check_cache(model, a.kv, cache);
  check_coding(store, a.store, model);
  const std::vector<int32_t> ids = model::text_ids(model, text_of(a.text));
  if (ids.empty()) fail(ErrorKind::kUsage, "{}: there is no text", a.text);
  if (ids.size() > model.config().context && !a.quiet) {
    print_warning(fmt::format("the model was made for {} positions, not {}", model.config().context,
                              ids.size()));
  }
  model::Session session(model, ids.size(), a.threads, 0, cache);
  ProgressBar bar("reading " + a.text, a.quiet, ProgressUnit::kOther);
  const Progress progress = bar.callback();
  store.read(session, ids, cache, progress);
  while (session.position() < ids.size()) {
    report(progress, session.position(), ids.size());
    const uint64_t n = std::min<uint64_t>(512, ids.size() - session.position());
    session.feed(std::span(ids).subspan(session.position(), n), model::Logits::kNone);
  }
  store.push(session, ids, progress);
  bar.clear();
  if (!problem.empty()) fail(ErrorKind::kIo, "{}", problem);
  const model::StoreUse& use = store.use();
  if (a.json) {
    return print_json({{"store", store.name()},
                       {"tokens", ids.size()},
                       {"fetched_tokens", use.fetched},
                       {"pushed_tokens", use.pushed},
                       {"pushed_bytes", use.pushed_bytes}});
  }
  if (!a.quiet) {
    note("{} : {}, {} were there, {} pushed ({})", store.name(), count_text(ids.size(), "token"),
         use.fetched, use.pushed, size_text(use.pushed_bytes));
  }
}

// --- pull and inspect ---

struct Look {
  kv::StoredChunk stored;
  std::optional<kv::ChunkHeader> header;  // nothing: `problem` says why
  std::string problem;
};

// Keys and values are decoded too where `whole`.
Look look_at(const kv::StoredChunk& stored, const std::optional<Bytes>& bytes, bool whole,
             const std::shared_ptr<const kv::Profile>& profile = {}) {
  Look look{stored, {}, "gone meanwhile"};
  if (!bytes) return look;
  try {
    look.header = kv::read_chunk(*bytes).header;
    look.problem = look.header->id == stored.id ? "" : "under another id than its own";
    if (whole && look.problem.empty()) kv::read_arrays(*bytes, stored.id, profile);
  } catch (const Error& e) {
    look.problem = e.what();
  }
  return look;
}

void pull(const Arguments& a) {
  const auto from = kv::open_store(a.from);
  std::shared_ptr<const kv::Profile> profile;
  if (!a.profile.empty()) profile = kv::load_profile(a.profile);
  std::unique_ptr<kv::Store> to;
  if (!a.to.empty()) to = kv::open_store(a.to);
  ProgressBar bar("fetching from " + from->name(), a.quiet, ProgressUnit::kOther);
  const Progress progress = bar.callback();
  const auto all = from->list();
  uint64_t bytes = 0, bad = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    report(progress, i, all.size());
    const auto chunk = from->get(all[i].id);
    const Look look = look_at(all[i], chunk, true, profile);
    if (!look.problem.empty()) {
      ++bad;
      print_error(fmt::format("{}: chunk {}: {}", from->name(), all[i].id.hex(), look.problem));
      continue;
    }
    bytes += chunk->size();
    if (to) to->put(all[i].id, *chunk);
  }
  if (to) to->flush();
  bar.clear();
  if (a.json) {
    print_json({{"store", from->name()},
                {"chunks", all.size() - bad},
                {"bytes", bytes},
                {"damaged", bad}});
  } else if (!a.quiet) {
    note("{} : {} {} ({}), {} damaged", from->name(), count_text(all.size() - bad, "chunk"),
         to ? "fetched" : "are whole", size_text(bytes), bad);
  }
  if (bad > 0) throw Exit{kExitError};
}

uint64_t f16_bytes(const kv::ChunkHeader& h) { return 2 * h.numbers; }

std::string coding_text(const kv::ChunkMaker& maker) {
  const std::string coding = kv::brief(maker.coding);
  return maker.cache.empty() ? coding : coding + ", read with " + kv::brief(maker.cache);
}

void print_table(const std::vector<Look>& looks) {
  Table table({"chunk", "model", ">first", ">tokens", ">stored", ">f16 bytes / stored", "coding"});
  uint64_t stored = 0, f16 = 0;
  std::set<Hash128> models;
  for (const Look& look : looks) {
    const std::string id = look.stored.id.hex().substr(0, 12);
    if (!look.problem.empty()) {
      table.row({id, "-", "-", "-", size_text(look.stored.bytes), "-", printable(look.problem)});
      continue;
    }
    const kv::ChunkHeader& h = *look.header;
    stored += look.stored.bytes;
    f16 += f16_bytes(h);
    models.insert(h.maker.model);
    table.row({id, h.maker.model.hex().substr(0, 12), std::to_string(h.first),
               std::to_string(h.ids.size()), size_text(look.stored.bytes),
               ratio_text(f16_bytes(h), look.stored.bytes), printable(coding_text(h.maker))});
  }
  write_stdout(table.text() +
               fmt::format("{} of {}: {} stored, {} as f16; f16 bytes / stored bytes: {}\n",
                           count_text(looks.size(), "chunk"), count_text(models.size(), "model"),
                           size_text(stored), size_text(f16), ratio_text(f16, stored)));
}

Json to_json(const Look& look) {
  Json j = {{"id", look.stored.id.hex()}, {"bytes", look.stored.bytes}};
  if (!look.problem.empty()) {
    j["problem"] = look.problem;
    return j;
  }
  const kv::ChunkHeader& h = *look.header;
  j["model"] = h.maker.model.hex();
  j["before"] = h.before.hex();
  j["coding"] = h.maker.coding;
  j["cache"] = h.maker.cache;
  j["first"] = h.first;
  j["tokens"] = h.ids.size();
  j["f16_bytes"] = f16_bytes(h);
  j["f16_bytes_over_stored_bytes"] =
      static_cast<double>(f16_bytes(h)) / static_cast<double>(look.stored.bytes);
  return j;
}

void inspect(const Arguments& a) {
  const auto store = kv::open_store(a.from);
  ProgressBar bar("reading " + store->name(), a.quiet, ProgressUnit::kOther);
  const Progress progress = bar.callback();
  const auto all = store->list();
  std::vector<Look> looks;
  for (const kv::StoredChunk& chunk : all) {
    report(progress, looks.size(), all.size());
    looks.push_back(look_at(chunk, store->get(chunk.id), false));
  }
  bar.clear();
  // Texts as they go: of each model and coding, by position.
  std::ranges::stable_sort(looks, {}, [](const Look& look) {
    return look.header
               ? std::tuple(look.header->maker.model, look.header->maker.coding, look.header->first)
               : std::tuple(Hash128(), std::string(), uint64_t{0});
  });
  if (!a.json) return print_table(looks);
  Json chunks = Json::array();
  for (const Look& look : looks) chunks.push_back(to_json(look));
  print_json({{"store", store->name()}, {"chunks", std::move(chunks)}});
}

// --- options ---

using Added = std::shared_ptr<Arguments>;

CLI::App* add(CLI::App* to, const char* name, const char* about, const Added& a,
              void (*work)(const Arguments&)) {
  CLI::App* c = to->add_subcommand(name, about);
  c->callback([a, work] { work(*a); });
  return c;
}

void add_ends(CLI::App* c, const Added& a, const char* examples) {
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("--json", a->json, "the result as JSON on standard output");
  c->footer(examples);
}

void add_from(CLI::App* c, const Added& a) {
  c->add_option("store", a->from, "a folder, NAME.pith or redis://…")
      ->type_name("STORE")
      ->required();
}

constexpr const char* kPushExamples =
    R"(Chunks that the store has already are not read again. The same text then starts `pith run` with the same
--kv-store, --kv-coding, --kv-chunk and --kv at its first token.

Examples:
  pith kv push lm --text book.txt --kv-store lm.kv
  pith kv push lm --text book.txt --kv-store lm-kv.pith --kv-coding 'uniform(4, group=32)'
  pith kv push lm --text book.txt --kv-store lm.kv --kv-coding 'stream(level=2)' --kv-coding 'stream(level=8)')";

constexpr const char* kPullExamples =
    R"(Every chunk is decoded and compared with its checksums; damage is named, and the exit status is 1.

Examples:
  pith kv push lm --text book.txt --kv-store lm.kv && pith kv pull lm.kv -o lm-kv.pith
  pith kv push lm --text book.txt --kv-store lm.kv && pith kv pull lm.kv      only verifies)";

constexpr const char* kInspectExamples =
    R"(The ratio is that of the bytes which keys and values take in f16 to the bytes stored.

Examples:
  pith kv push lm --text book.txt --kv-store lm.kv && pith kv inspect lm.kv
  pith kv push lm --text book.txt --kv-store lm.kv && pith kv inspect lm.kv --json)";

constexpr const char* kExamples =
    R"(A store is a folder, an archive NAME.pith, or a Redis server: redis://[:password@]host[:port][/db][?ttl=SECONDS].
docs/kv-stores.md has the layout of chunks.

Examples:
  pith kv push lm --text book.txt --kv-store lm.kv     what was read once, anywhere,
  pith run lm - --kv-store lm.kv < book.txt            need not be read again)";

}  // namespace

void add_kv(CLI::App& app) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* kv = app.add_subcommand("kv", "Keep keys and values of texts in stores, look at them");
  kv->require_subcommand(1);
  kv->footer(kExamples);
  CLI::App* c = add(kv, "push", "Read a text and put its keys and values into a store", a, push);
  c->add_option("model", a->model,
                "a GGUF file, a folder with config.json and safetensors, or an archive of either")
      ->type_name("MODEL")
      ->required();
  c->add_option("--text", a->text, "what is read; '-': standard input")
      ->type_name("FILE")
      ->required();
  add_store(c, a->store);
  c->add_option("--kv", a->kv, "read with such a cache (docs/kv.md)")
      ->type_name("EXPR|NAME")
      ->check(not_empty());
  add_threads(c, a->threads);
  add_ends(c, a, kPushExamples);
  c = add(kv, "pull", "Fetch chunks from a store and check them", a, pull);
  add_from(c, a);
  c->add_option("-o,--output", a->to, "a store to put them into; default: none, only check")
      ->type_name("STORE");
  c->add_option("--profile", a->profile, "that chunks are coded with, if with one")
      ->type_name("FILE");
  add_ends(c, a, kPullExamples);
  c = add(kv, "inspect", "A table of the chunks in a store", a, inspect);
  add_from(c, a);
  add_ends(c, a, kInspectExamples);
  add_kv_bench(*kv);
  add_kv_profile(*kv);
}

}  // namespace pith::command
