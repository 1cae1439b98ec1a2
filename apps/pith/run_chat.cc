#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "command.h"
#include "message.h"
#include "run.h"
#include "signals.h"

namespace pith::command {
namespace {

// Without --context; models made for much more would ask for memory that a talk does not need.
constexpr uint64_t kConversation = 8192;

// The next line, or nothing at the end of the input. An interruption ends the program at once.
std::optional<std::string> read_line() {
  std::fputs("> ", stderr);
  pollfd input{STDIN_FILENO, POLLIN, 0};
  do {  // a signal just before poll() does not end it
    if (!interrupted()) continue;
    std::fputs("\n", stderr);
    throw Exit{128 + interrupted()};
  } while (::poll(&input, 1, 100) <= 0);
  std::string line;
  if (!std::getline(std::cin, line)) {
    std::fputs("\n", stderr);
    return std::nullopt;
  }
  return line;
}

// How much of the ids the session has read already; of the last one, logits are still needed.
size_t common_length(const std::vector<int32_t>& read, const std::vector<int32_t>& ids) {
  const auto [a, b] = std::mismatch(read.begin(), read.end(), ids.begin(), ids.end());
  return std::min(static_cast<size_t>(a - read.begin()), ids.size() - 1);
}

}  // namespace

bool Speaker::operator()(std::string_view text, int32_t id, bool has_tokenizer) {
  if (!shown_) return !interrupted();
  std::string out(text);
  if (!has_tokenizer) {
    out = begun_ ? fmt::format(" {}", id) : fmt::format("{}", id);
  } else if (stdout_is_terminal()) {
    // A model could write what a terminal takes for a command.
    std::string safe;
    for (const char c : out) {
      const auto byte = static_cast<unsigned char>(c);
      const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
      safe += control ? "\uFFFD" : std::string(1, c);
    }
    out = std::move(safe);
  }
  if (!out.empty()) {
    write_stdout(out);
    begun_ = true;
    ended_line_ = out.back() == '\n';
  }
  return !interrupted();
}

void Speaker::finish() {
  if (shown_ && !ended_line_) write_stdout(std::string_view("\n"));
  begun_ = ended_line_ = false;
}

void run_conversation(const RunArguments& a, Runner& runner) {
  const uint64_t made_for = runner.model.config().context;
  const uint64_t context = a.context > 0 ? a.context : std::min(made_for, kConversation);
  model::Session session(runner.model, context, a.threads, 0, runner.cache);
  std::vector<model::ChatMessage> talk;
  if (a.has_system) talk.push_back({"system", a.system});
  std::vector<int32_t> read;
  while (auto line = read_line()) {
    if (line->empty()) continue;
    talk.push_back({"user", std::move(*line)});
    const auto ids =
        model::chat_ids(runner.model, model::chat_text(runner.model, *runner.chat, talk));
    if (ids.size() > context) {
      fail(ErrorKind::kLimit,
           "the conversation has grown to {} tokens, the context has room for {}", ids.size(),
           context);
    }
    session.rewind(session.rewindable(common_length(read, ids)));
    Speaker speaker(true);
    const model::Generated written =
        answer(runner, session, ids,
               [&](std::string_view text, int32_t id) { return speaker(text, id, true); });
    speaker.finish();
    if (a.timing) print_timing(runner, written);
    if (interrupted()) throw Exit{128 + interrupted()};
    read = ids;
    read.insert(read.end(), written.ids.begin(), written.ids.end());
    read.resize(session.position());
    talk.push_back({"assistant", written.text});
  }
}

}  // namespace pith::command
