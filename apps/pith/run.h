// pith run, in parts: what the model is to read (run_prompt.cc), conversations (run_chat.cc), and
// what is said of a run (run_report.cc).
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "output.h"
#include "pith/model/chat_template.h"
#include "pith/model/generate.h"
#include "pith/model/prompt.h"
#include "pith/model/prompt_store.h"

namespace pith::command {

// Where keys and values are kept: of run and kv.
struct StoreArguments {
  std::string where, coding_profile;
  std::vector<std::string> codings;
  std::optional<double> deadline;
  uint64_t chunk_tokens = model::PromptStoreOptions().chunk_tokens;
};
void add_store(CLI::App* command, StoreArguments& a);
// Throws kUsage for options that do not go together, and what is wrong with a coding.
model::PromptStoreOptions store_options(const StoreArguments& a, int threads);
// Throws kUsage where the model's keys and values cannot be stored as `a` says.
void check_coding(const model::PromptStore& store, const StoreArguments& a,
                  const model::LanguageModel& model);
// Null where no store is asked for. What goes wrong with it is a warning, unless `quiet`.
std::unique_ptr<model::PromptStore> make_store(const StoreArguments& a, int threads, bool quiet);

// Texts that are read each by itself before the prompt (run_passages.cc).
struct PassageArguments {
  std::vector<std::string> files;
  std::string prefix;
  model::ContextOptions options;
};
void add_passages(CLI::App* command, PassageArguments& a);

struct RunArguments {
  std::string model, prompt, ids, system, kv, kv_budget, kv_profile, kv_question;
  StoreArguments store;
  PassageArguments passages;
  std::vector<std::string> stops, biases;
  model::SamplerOptions sampler;
  uint64_t tokens = 256, context = 0;
  int threads = 0;
  bool chat = false, no_chat = false, special = false, truncate = false, ignore_eos = false;
  bool has_prompt = false, has_ids = false, has_system = false, json = false, quiet = false,
       timing = false;
};

// A model ready to run, and how to talk to it.
struct Runner {
  model::LanguageModel model;
  std::optional<model::ChatTemplate> chat;  // where the template is to be used
  model::GenerateOptions options;
  std::optional<kv::CacheOptions> cache;  // where --kv says one
  double load_seconds = 0;
  std::unique_ptr<model::PromptStore> store = {};  // where --kv-store says one
  model::StoreUse used = {};                       // of it, for the latest prompt
};

// What one prompt came to.
struct Run {
  std::string prompt;  // as the model reads it; empty for ids
  std::vector<int32_t> ids;
  uint64_t asked = 0;  // of the ids, the last so many are what is asked of those before
  model::Generated written;
};

// From the arguments or standard input, and behind it what is asked of it. Throws kUsage where the
// model has no tokenizer, and for questions that do not go with the cache or the prompt.
Run read_prompt(const RunArguments& a, const Runner& runner);
// The text before what is asked of it, where something is; returns how many tokens were read.
uint64_t read_asked(const Run& run, model::Session& session);
// Positions that a session needs, after --truncate has cut the prompt to them. Throws kLimit for a
// prompt that does not fit.
uint64_t fit_prompt(const RunArguments& a, const Runner& runner, std::vector<int32_t>& ids);

struct Passages {
  std::vector<int32_t> prefix;
  std::vector<std::vector<int32_t>> texts;
  std::vector<int32_t> all() const;
};
// Throws kUsage for options that do not go with passages.
void check_passages(const RunArguments& a, const Runner& runner);
Passages read_passages(const PassageArguments& a, const Runner& runner);
// Reads each of them, chunks from the store and into it where there is one, and puts them side by
// side into a session that has read nothing.
void join_passages(const RunArguments& a, Runner& runner, const Passages& passages,
                   model::Session& session);

// Writes what the model says to standard output as it comes; stops on an interruption.
class Speaker {
 public:
  explicit Speaker(bool shown) : shown_(shown) {}
  bool operator()(std::string_view text, int32_t id, bool has_tokenizer);
  // Ends the line.
  void finish();

 private:
  bool shown_;
  bool begun_ = false, ended_line_ = false;
};

// Talks with the person at the terminal until the input ends.
// What the model says to a prompt behind what the session has read; chunks of it from the store and
// into it, where there is one.
model::Generated answer(Runner& runner, model::Session& session, std::span<const int32_t> prompt,
                        const std::function<bool(std::string_view text, int32_t id)>& write);

void run_conversation(const RunArguments& a, Runner& runner);

Json run_json(const RunArguments& a, const Runner& runner, const Run& run);
// A table on standard error.
void print_timing(const Runner& runner, const model::Generated& written);

}  // namespace pith::command
