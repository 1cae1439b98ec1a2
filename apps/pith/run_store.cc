// Prompts whose keys and values are kept: --kv-store of `run` and `kv push`.
#include "message.h"
#include "options.h"
#include "pith/recipe/cache_recipes.h"
#include "run.h"
#include "signals.h"

namespace pith::command {

void add_store(CLI::App* c, StoreArguments& a) {
  c->add_option("--kv-store", a.where,
                "keep keys and values of prompts here, and do not read again what is there: a "
                "folder, NAME.pith or redis://[:password@]host[:port][/db][?ttl=SECONDS]")
      ->type_name("STORE");
  c->add_option("--kv-coding", a.coding,
                "how they are stored: a recipe or an expression; default: without loss "
                "(docs/kv-stores.md)")
      ->type_name("RECIPE|EXPR");
  c->add_option("--kv-chunk", a.chunk_tokens, "tokens that are stored together")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->capture_default_str();
}

std::unique_ptr<model::PromptStore> make_store(const StoreArguments& a, int threads, bool quiet) {
  if (a.where.empty()) {
    if (!a.coding.empty()) fail(ErrorKind::kUsage, "--kv-coding is for --kv-store");
    return nullptr;
  }
  model::PromptStoreOptions options;
  if (!a.coding.empty()) options.coding = recipe::chunk_coding(a.coding).text();
  options.chunk_tokens = a.chunk_tokens;
  options.threads = threads;
  if (!quiet) {
    options.problem = [](const std::string& what) {
      print_warning(what + "; what is missing is read by the model");
    };
  }
  return std::make_unique<model::PromptStore>(kv::open_store(a.where), std::move(options));
}

model::Generated answer(Runner& runner, model::Session& session, std::span<const int32_t> prompt,
                        const std::function<bool(std::string_view text, int32_t id)>& write) {
  runner.options.progress = [](uint64_t, uint64_t) { return !interrupted(); };
  // What stands behind passages is no beginning of a text.
  const bool stored = runner.store && !session.joined();
  if (stored) {
    runner.store->read(session, prompt, runner.cache, runner.options.progress);
  }
  runner.options.read = session.position();
  model::Generated written = model::generate(session, prompt, runner.options, write);
  if (!stored || interrupted()) return written;
  runner.store->took(written.prompt_tokens, written.prompt_seconds);
  runner.store->push(session, prompt, runner.options.progress);
  runner.used = runner.store->use();
  return written;
}

}  // namespace pith::command
