#include <charconv>

#include "message.h"
#include "run.h"
#include "units.h"

namespace pith::command {
namespace {

std::string stdin_text() {
  const auto input = spool_stdin();
  std::string text(input->bytes().begin(), input->bytes().end());
  if (text.ends_with('\n')) text.pop_back();  // of the shell, not of the text
  return text;
}

std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int32_t id = 0;
    const auto read = std::from_chars(at, end, id);
    if (read.ec != std::errc() || id < 0 || (read.ptr != end && *read.ptr != ',')) {
      fail(ErrorKind::kUsage, "--ids: '{}' is no list of ids (example: 1,2,3)", text);
    }
    ids.push_back(id);
    if (read.ptr == end) return ids;
    at = read.ptr + 1;
  }
}

// Errors of this kind say which option helps.
template <class Step>
auto with_hint(ErrorKind kind, std::string_view hint, const Step& step) {
  try {
    return step();
  } catch (const Error& e) {
    if (e.kind() != kind) throw;
    throw Error(kind, fmt::format("{} ({})", e.what(), hint));
  }
}

void check_question(const RunArguments& a, const Runner& runner) {
  if (a.kv_question.empty()) return;
  if (runner.chat)
    fail(ErrorKind::kUsage, "--kv-question is for texts that are continued: give --no-chat");
  if (a.has_ids) fail(ErrorKind::kUsage, "--kv-question does not go with --ids");
  if (!runner.cache || runner.cache->prompts != kv::Prompts::kAsked) {
    fail(ErrorKind::kUsage,
         "--kv-question: the cache does not look at what is asked (`prompts=asked` does)");
  }
}

}  // namespace

Run read_prompt(const RunArguments& a, const Runner& runner) {
  check_question(a, runner);
  if (a.has_ids) {
    if (a.has_prompt) fail(ErrorKind::kUsage, "give a prompt or --ids, not both");
    return {"", parse_ids(a.ids), 0, {}};
  }
  // Before the prompt is waited for.
  with_hint(ErrorKind::kData, "--ids runs the model without its tokenizer",
            [&] { return &model::tokenizer_of(runner.model); });
  Run run;
  run.prompt = !a.has_prompt || a.prompt == "-" ? stdin_text() : a.prompt;
  if (!runner.chat) {
    run.ids =
        model::text_ids(runner.model, run.prompt,
                        {.add_bos = a.passages.files.empty() ? std::nullopt : std::optional(false),
                         .parse_special = a.special});
    if (!a.kv_question.empty()) {
      const std::vector<int32_t> question =
          model::text_ids(runner.model, a.kv_question, {.add_bos = false});
      run.ids.insert(run.ids.end(), question.begin(), question.end());
      run.prompt += a.kv_question;
      run.asked = question.size();
    }
    return run;
  }
  std::vector<model::ChatMessage> talk;
  if (a.has_system) talk.push_back({"system", a.system});
  talk.push_back({"user", run.prompt});
  run.prompt = model::chat_text(runner.model, *runner.chat, talk);
  run.ids = model::chat_ids(runner.model, run.prompt);
  return run;
}

uint64_t read_asked(const Run& run, model::Session& session) {
  if (run.asked == 0 || run.asked >= run.ids.size()) return 0;
  const std::span<const int32_t> ids(run.ids);
  session.feed_asked(ids.first(ids.size() - run.asked), ids.last(run.asked));
  return session.position();
}

uint64_t fit_prompt(const RunArguments& a, const Runner& runner, std::vector<int32_t>& ids) {
  const model::DecoderConfig& config = runner.model.config();
  if (a.context > config.context && !a.quiet) {
    print_warning(
        fmt::format("the model was made for {} positions, not {}", config.context, a.context));
  }
  const size_t tokens = ids.size();
  const uint64_t positions =
      with_hint(ErrorKind::kLimit, "shorten it, give a larger --context, or --truncate", [&] {
        return model::fit_prompt(config, ids, {a.context, a.tokens, a.truncate});
      });
  if (ids.size() < tokens && !a.quiet) {
    note("the prompt was cut to its last {}", count_text(ids.size(), "token"));
  }
  return positions;
}

}  // namespace pith::command
