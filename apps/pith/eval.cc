// pith eval: how well a language model predicts a text, alone or beside another model; what the
// outputs of a network lost.
#include "eval.h"

#include <array>
#include <vector>

#include "cache_option.h"
#include "command.h"
#include "eval_network.h"
#include "message.h"
#include "options.h"
#include "progress_bar.h"

namespace pith::command {
namespace {

Measurements measure(const EvalArguments& a) {
  const std::optional<kv::CacheOptions> cache = cache_of(a.kv, a.kv_budget, a.kv_profile);
  const model::LanguageModel subject = model::load_model(a.model);
  check_cache(subject, a.kv, cache);
  if (!a.quiet) warn_of_budget(cache, a.kv_budget, a.context);
  std::optional<model::LanguageModel> reference;
  if (!a.against.empty()) {
    // Both are read in turns, so that there must be memory for both; one file is in memory once.
    const bool same = std::filesystem::equivalent(a.model, a.against);
    reference = model::load_model(a.against, {.others = same ? 0 : subject.weight_bytes()});
  }
  if (a.context > subject.config().context && !a.quiet) {
    print_warning(fmt::format("the model was made for {} positions, not {}",
                              subject.config().context, a.context));
  }
  audit::PerplexityOptions options{.context = a.context,
                                   .stride = a.stride,
                                   .skip_first = a.skip_first,
                                   .max_windows = a.windows,
                                   .changed = a.changed,
                                   .threads = a.threads};
  ProgressBar bar(a.model, a.quiet, ProgressUnit::kOther);
  options.progress = bar.callback();
  std::optional<bool> bos;
  if (a.bos || a.no_bos) bos = a.bos;
  std::vector<audit::ScoredToken> tokens;
  options.each = [&](const audit::ScoredToken& t) { tokens.push_back(t); };
  // What a cache loses, beside the same model with a full one.
  const model::LanguageModel* beside = reference ? &*reference : cache ? &subject : nullptr;
  Measurements m{audit::evaluate_text(subject, text_of(a.text), options, bos, beside, cache), {}};
  bar.clear();
  m.seconds = bar.seconds();
  if (beside) {
    const std::array groupings = {audit::groups_by_class(m.tokenizer)};
    m.harm = audit::find_harm(tokens, groupings);
  }
  return m;
}

void run(const EvalArguments& a) {
  if (is_network(a.model)) {
    if (!a.text.empty() || !a.kv.empty())
      fail(ErrorKind::kUsage, "{} is for language models", a.text.empty() ? "--kv" : "--text");
    return eval_network({a.model, a.against, a.inputs, a.samples, a.threads, a.json});
  }
  if (a.text.empty()) fail(ErrorKind::kUsage, "--text is required");
  if (!a.inputs.empty()) fail(ErrorKind::kUsage, "--inputs is for networks (ONNX)");
  if (a.bos && a.no_bos) fail(ErrorKind::kUsage, "give --bos or --no-bos, not both");
  const Measurements m = measure(a);
  if (a.json) return print_json(eval_json(a, m));
  write_stdout(eval_text(a, m));
}

constexpr const char* kExamples =
    R"(The text is cut into windows of --context predictions, each read from an empty memory, and every prediction
counts; what fills no window at the end does not. Where the tokenizer begins texts with bos, so do windows.
llama.cpp counts the second half of each window: --skip-first 256 with --context 512. Figures of different
protocols cannot be compared; the output says which one was used. Errors: that of windows is over the means of
windows, that of tokens as if they were independent; intervals are of 95%, from resampling windows.

Networks are compared by their outputs: the squared error as a share of the squares, the largest difference as a
share of the largest element, and how often the largest element of a row is the same.

Examples:
  pith eval lm --text book.txt                            loss and perplexity
  pith eval lm --text book.txt --windows 4 --no-bos       of the first four windows, without bos
  pith eval lm --text book.txt --skip-first 256           the second half of each window
  pith eval small --against lm --text book.txt            what was lost: KL, agreement, who was hurt most
  pith eval lm --text book.txt --kv 'uniform(4, group=32)'   what a cache of 4 bits loses
  pith eval lm --text book.txt --context 128 --json       for programs
  pith eval model.onnx.pith --against model.onnx          a network beside the original)";

}  // namespace

void add_eval(CLI::App& app) {
  auto a = std::make_shared<EvalArguments>();
  CLI::App* c = app.add_subcommand(
      "eval", "Measure how well a language model predicts a text, or what a network lost");
  c->add_option(
       "model", a->model,
       "a GGUF file, a folder with config.json and safetensors, or an archive of either; or a "
       "network, an ONNX file or an archive of one")
      ->type_name("MODEL")
      ->required();
  c->add_option("--text", a->text, "what it is to predict; '-': standard input")->type_name("FILE");
  c->add_option("--against", a->against, "a model to compare with, as before compression")
      ->type_name("MODEL");
  CLI::Option* kv =
      c->add_option("--kv", a->kv, "a cache of keys and values in this form, beside a full one")
          ->type_name("EXPR|NAME")
          ->check(not_empty());
  c->add_option("--kv-budget", a->kv_budget,
                "tokens that it keeps of each head, in the mean: 256, or a share as 25%")
      ->needs(kv)
      ->type_name("TOKENS")
      ->check(not_empty());
  c->add_option("--kv-profile", a->kv_profile,
                "the model's axes, where it lies along such (pith kv profile)")
      ->needs(kv)
      ->type_name("FILE")
      ->check(not_empty());
  c->add_option("--inputs", a->inputs,
                "of networks: arrays by the inputs' names; default: random numbers")
      ->type_name("FILE.npz");
  const auto number = [&](const char* names, uint64_t& value, const char* help) {
    return c->add_option(names, value, help)->type_name("N")->check(not_negative());
  };
  number("-c,--context", a->context, "predictions in a window")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24).description(""));
  number("--stride", a->stride, "tokens from window to window; default: the context");
  number("--skip-first", a->skip_first, "of each window, so many predictions do not count");
  number("--windows", a->windows, "at most so many, from the beginning; 0: all");
  number("--changed", a->changed, "show so many of the tokens that changed most")
      ->capture_default_str();
  number("--samples", a->samples, "of random inputs")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20).description(""));
  c->add_flag("--bos", a->bos, "begin windows with the bos token");
  c->add_flag("--no-bos", a->no_bos, "begin windows with text");
  add_threads(c, a->threads);
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors and the result");
  c->add_flag("--json", a->json, "everything as JSON on standard output");
  c->footer(kExamples);
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
