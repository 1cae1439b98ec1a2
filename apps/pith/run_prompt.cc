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

const model::Tokenizer& tokenizer_of(const model::LanguageModel& m) {
  if (m.tokenizer()) return *m.tokenizer();
  if (!m.tokenizer_error().empty()) {
    fail(ErrorKind::kData, "{} (--ids runs the model without its tokenizer)", m.tokenizer_error());
  }
  fail(ErrorKind::kData, "{}: the model has no tokenizer (--ids runs it without)", m.where());
}

std::string piece_or_nothing(const model::Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.piece(*id)) : "";
}

}  // namespace

std::string conversation_text(const Runner& runner, const std::vector<model::ChatMessage>& talk) {
  const model::Tokenizer& tokenizer = tokenizer_of(runner.model);
  try {
    return runner.chat->render(talk, {.bos_token = piece_or_nothing(tokenizer, tokenizer.bos()),
                                      .eos_token = piece_or_nothing(tokenizer, tokenizer.eos())});
  } catch (const Error& e) {
    throw e.in(runner.model.where());
  }
}

std::vector<int32_t> conversation_ids(const Runner& runner, const std::string& text) {
  return tokenizer_of(runner.model).encode(text, {.add_bos = false, .parse_special = true});
}

Run read_prompt(const RunArguments& a, const Runner& runner) {
  if (a.has_ids) {
    if (a.has_prompt) fail(ErrorKind::kUsage, "give a prompt or --ids, not both");
    return {"", parse_ids(a.ids), {}};
  }
  const model::Tokenizer& tokenizer = tokenizer_of(runner.model);
  Run run;
  run.prompt = !a.has_prompt || a.prompt == "-" ? stdin_text() : a.prompt;
  if (!runner.chat) {
    run.ids = tokenizer.encode(run.prompt, {.parse_special = a.special});
    return run;
  }
  std::vector<model::ChatMessage> talk;
  if (a.has_system) talk.push_back({"system", a.system});
  talk.push_back({"user", run.prompt});
  run.prompt = conversation_text(runner, talk);
  run.ids = conversation_ids(runner, run.prompt);
  return run;
}

uint64_t fit_prompt(const RunArguments& a, const Runner& runner, std::vector<int32_t>& ids) {
  const model::DecoderConfig& config = runner.model.config();
  if (a.context > config.context && !a.quiet) {
    print_warning(
        fmt::format("the model was made for {} positions, not {}", config.context, a.context));
  }
  const uint64_t context = a.context > 0 ? a.context : config.context;
  if (ids.empty()) fail(ErrorKind::kUsage, "the prompt is empty");
  if (ids.size() > context && a.truncate) {
    // Half of the room, or what will be written, is for the answer.
    const uint64_t answer = std::min(a.tokens == 0 ? context / 2 : a.tokens, context / 2);
    const bool keeps_bos = config.bos && ids.front() == *config.bos;
    const uint64_t kept = std::max<uint64_t>(context - answer, 1);
    ids.erase(ids.begin() + (keeps_bos && kept > 1 ? 1 : 0),
              ids.end() - static_cast<std::ptrdiff_t>(kept - (keeps_bos && kept > 1 ? 1 : 0)));
    if (!a.quiet) note("the prompt was cut to its last {}", count_text(kept, "token"));
  }
  if (ids.size() > context) {
    fail(ErrorKind::kLimit,
         "the prompt has {} tokens, the context has room for {}: shorten it, give a larger "
         "--context, or --truncate",
         ids.size(), context);
  }
  if (a.tokens == 0 || a.context > 0) return context;
  return std::min(context, ids.size() + a.tokens);
}

}  // namespace pith::command
