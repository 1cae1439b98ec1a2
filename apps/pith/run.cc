// pith run: a language model continues a text, or answers.
#include "run.h"

#include <charconv>
#include <chrono>
#include <limits>

#include "cache_option.h"
#include "command.h"
#include "message.h"
#include "options.h"
#include "progress_bar.h"
#include "signals.h"
#include "units.h"

namespace pith::command {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// "13=-2.5", "13=-inf"
std::pair<int32_t, double> parse_bias(const std::string& text) {
  const size_t equals = text.find('=');
  int32_t id = 0;
  double bias = 0;
  const char* const end = text.data() + text.size();
  bool good = equals != std::string::npos;
  if (good) {
    const auto read = std::from_chars(text.data(), text.data() + equals, id);
    good = read.ec == std::errc() && read.ptr == text.data() + equals;
    const auto value = std::from_chars(text.data() + equals + 1, end, bias);
    good = good && value.ec == std::errc() && value.ptr == end;
  }
  if (!good) {
    fail(ErrorKind::kUsage, "--logit-bias: '{}' is not ID=BIAS (examples: 13=-2.5, 2=-inf)", text);
  }
  return {id, bias};
}

model::GenerateOptions generate_options(const RunArguments& a) {
  model::GenerateOptions options;
  options.sampler = a.sampler;
  for (const std::string& bias : a.biases) {
    options.sampler.logit_bias.push_back(parse_bias(bias));
  }
  options.max_tokens = a.tokens;
  options.ignore_end = a.ignore_eos;
  options.stops = a.stops;
  return options;
}

// The template that a model's answers are made with, unless the text is to be continued as it is.
std::optional<model::ChatTemplate> chat_of(const RunArguments& a, const model::LanguageModel& m) {
  const bool wanted = a.chat || a.has_system;
  if (a.no_chat || a.has_ids) {
    if (wanted) fail(ErrorKind::kUsage, "--chat and --system do not go with --no-chat and --ids");
    return std::nullopt;
  }
  try {
    auto chat = model::chat_template_of(m);
    if (wanted && !chat) {
      fail(ErrorKind::kUsage, "{}: the model has no chat template", m.where());
    }
    return chat;
  } catch (const Error& e) {
    if (wanted) throw;
    throw Error(e.kind(), fmt::format("{} (--no-chat continues the text without it)", e.what()));
  }
}

Runner load(const RunArguments& a) {
  model::GenerateOptions options = generate_options(a);
  model::Sampler checked(options.sampler);  // wrong options are told before a model is read
  std::optional<kv::CacheOptions> cache = cache_of(a.kv, a.kv_budget, a.kv_profile);
  auto store = make_store(a.store, a.threads, a.quiet);
  if (store) model::PromptStore::check(cache);
  const auto start = std::chrono::steady_clock::now();
  Runner runner{model::load_model(a.model, {.positions = a.context}),
                std::nullopt,
                std::move(options),
                std::move(cache),
                0,
                std::move(store)};
  runner.load_seconds = seconds_since(start);
  check_cache(runner.model, a.kv, runner.cache);
  if (runner.store) check_coding(*runner.store, a.store, runner.model);
  runner.chat = chat_of(a, runner.model);
  runner.options.continues = !runner.chat;
  check_passages(a, runner);
  return runner;
}

void run_once(const RunArguments& a, Runner& runner) {
  Run run = read_prompt(a, runner);
  const Passages passages = read_passages(a.passages, runner);
  const std::vector<int32_t> before = passages.all();
  run.ids.insert(run.ids.begin(), before.begin(), before.end());
  const uint64_t positions = fit_prompt(a, runner, run.ids);
  if (!a.quiet) warn_of_budget(runner.cache, a.kv_budget, positions);
  model::Session session(runner.model, positions, a.threads, 0, runner.cache);
  join_passages(a, runner, passages, session);
  Speaker speaker(!a.json);
  const bool has_tokenizer = runner.model.tokenizer() != nullptr;
  const auto start = std::chrono::steady_clock::now();
  const uint64_t read = read_asked(run, session);
  const double seconds = seconds_since(start);
  run.written = answer(runner, session, run.ids, [&](std::string_view text, int32_t id) {
    return speaker(text, id, has_tokenizer);
  });
  if (read > 0) {
    run.written.prompt_tokens += read;
    run.written.prompt_seconds += seconds;
  }
  speaker.finish();
  if (!a.quiet && run.written.stop == model::Stop::kContext)
    note("the context of {} is full: the text ends here (--context N gives it more room)",
         count_text(positions, "token"));
  if (a.json) print_json(run_json(a, runner, run));
  if (a.timing) print_timing(runner, run.written);
  if (interrupted()) throw Exit{128 + interrupted()};
}

void run(const RunArguments& a) {
  Runner runner = load(a);
  const bool interactive = !a.has_prompt && !a.has_ids && stdin_is_terminal() && !a.json;
  if (!interactive) return run_once(a, runner);
  if (!runner.chat) {
    fail(ErrorKind::kUsage,
         "{}: give a prompt ('-': from standard input); only models with a chat "
         "template can be talked to",
         a.model);
  }
  run_conversation(a, runner);
}

constexpr const char* kExamples =
    R"(MODEL is a GGUF file, a Hugging Face folder or an archive of either. Where it has a chat template, the prompt is
put to it as the template says and the answer is printed; --no-chat (and models without a template) continue
the text as it is. Without a prompt, a terminal becomes a conversation: a line each, Ctrl-D ends it; otherwise
the prompt is read from standard input. The same prompt, options and seed give the same text.

Examples:
  pith run lm "It was a dark night, and"                    256 tokens at most
  pith run lm "The machine" -n 40 --temperature 0           the most probable tokens
  pith run lm "Once" --seed 7 --top-p 0.9 --min-p 0         another draw
  echo "He opened the door" | pith run lm - -n 20           prompt from a pipe
  pith run lm "One day" -n 200 --stop . --stop ';'          up to the end of the sentence
  pith run lm --ids 1,313,259 -n 10 --json                  token ids in, everything out
  pith run lm "The sea" -n 300 --kv 'uniform(4, group=32)'  keys and values at 4 bits
  pith run lm "The sea" -n 900 --kv S168 --kv-budget 256    256 tokens are kept (pith recipes)
  pith run lm - --kv S168 --kv-question "So why" <book.txt  what stays is what the question looks for
  pith run lm "The sea" --kv-store lm.kv                    what was read before is not read again
  pith run lm "The sea" --kv-store lm.kv --kv-coding 'stream(level=2)' --kv-coding 'stream(level=8)' --kv-deadline 0.5
  pith run lm "So" --passage a.txt --passage b.txt          each read by itself, and kept so with --kv-store
  pith run lm "The sea" -n 64 -T2 --timing                  how fast it is)";

void add_text(CLI::App* c, RunArguments& a) {
  c->add_option("model", a.model,
                "a GGUF file, a folder with config.json and safetensors, or an archive of either")
      ->type_name("MODEL")
      ->required();
  c->add_option("prompt", a.prompt, "the text; '-': standard input")->type_name("PROMPT");
  c->add_option("--ids", a.ids, "token ids in place of a text")->type_name("1,2,3");
  c->add_option("-n,--tokens", a.tokens, "write at most so many; 0: until it ends")
      ->type_name("N")
      ->check(not_negative())
      ->capture_default_str();
  c->add_option("-c,--context", a.context, "positions to have room for; default: what is needed")
      ->type_name("N")
      ->check(not_negative());
  CLI::Option* kv =
      c->add_option("--kv", a.kv, "hold keys and values behind a window in this form (docs/kv.md)")
          ->type_name("EXPR|NAME")
          ->check(not_empty());
  c->add_option("--kv-budget", a.kv_budget,
                "tokens that it keeps of each head, in the mean: 256, or a share as 25%")
      ->needs(kv)
      ->type_name("TOKENS")
      ->check(not_empty());
  c->add_option("--kv-profile", a.kv_profile,
                "the model's axes, where it lies along such (pith kv profile)")
      ->needs(kv)
      ->type_name("FILE")
      ->check(not_empty());
  c->add_option("--kv-question", a.kv_question,
                "comes behind the prompt, and says what stays of it where the cache asks for that")
      ->needs(kv)
      ->type_name("TEXT");
  add_store(c, a.store);
  c->add_option("--kv-deadline", a.store.deadline,
                "within so many seconds the prompt is to be read: of several --kv-coding each part "
                "is fetched in the finest that lets it be in time")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber.description(""));
  add_passages(c, a.passages);
  c->add_flag("--truncate", a.truncate, "drop the beginning of a prompt that is too long");
  c->add_flag("--chat", a.chat, "put the prompt to the model with its chat template");
  c->add_flag("--no-chat", a.no_chat, "continue the prompt as it is");
  c->add_option("--system", a.system, "what a conversation begins with")->type_name("TEXT");
  c->add_flag("--special", a.special, "with --no-chat: read control tokens such as <|im_end|>");
  add_repeatable(c, "--stop", a.stops, "end before this text", "TEXT");
  c->add_flag("--ignore-eos", a.ignore_eos, "never end before the limit");
}

void add_sampling(CLI::App* c, RunArguments& a) {
  model::SamplerOptions& s = a.sampler;
  const auto number = [&](const char* names, auto& value, const char* help) {
    return c->add_option(names, value, help)->type_name("X")->capture_default_str();
  };
  number("--temperature", s.temperature, "0: always the most probable token");
  number("--top-k", s.top_k, "of the k most probable; 0: all")->check(not_negative());
  number("--top-p", s.top_p, "of the fewest that have this probability together");
  number("--min-p", s.min_p, "of those with this part of the largest probability");
  number("--typical", s.typical, "of the most typical that have this probability together");
  number("--repeat-penalty", s.repeat_penalty, "divides the logits of recent tokens; 1: none");
  number("--frequency-penalty", s.frequency_penalty, "taken off for each recent occurrence");
  number("--presence-penalty", s.presence_penalty, "taken off once for recent tokens");
  number("--penalty-window", s.penalty_window, "how many tokens are recent")->check(not_negative());
  add_repeatable(c, "--logit-bias", a.biases, "added to the logit of a token", "ID=X");
  number("--seed", s.seed, "of the random numbers")->check(not_negative());
}

}  // namespace

void add_run(CLI::App& app) {
  auto a = std::make_shared<RunArguments>();
  CLI::App* c = app.add_subcommand("run", "Let a language model continue a text, or answer");
  add_text(c, *a);
  add_sampling(c, *a);
  add_threads(c, a->threads);
  c->add_flag("--timing", a->timing, "a table of times and memory on standard error");
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("--json", a->json, "text, token ids and times as JSON on standard output");
  c->footer(kExamples);
  c->callback([a, c] {
    a->has_prompt = c->get_option("prompt")->count() > 0;
    a->has_ids = c->get_option("--ids")->count() > 0;
    a->has_system = c->get_option("--system")->count() > 0;
    run(*a);
  });
}

}  // namespace pith::command
