// Chat templates: the Jinja programs with which a model's files say how a conversation becomes the
// text that the model was trained on.
//
//   const ChatTemplate chat(tokenizer.chat_template());
//   const std::string prompt = chat.render({{"user", "Who are you?"}}, {.bos_token = "<s>"});
//   const auto ids = tokenizer.encode(prompt, {.add_bos = false, .parse_special = true});
//
// The language is the part of Jinja 2 that such templates use, with the settings of Hugging Face's
// transformers (trim_blocks, lstrip_blocks); docs/models.md lists it. A template comes out of a
// file that may be hostile: its work, memory and nesting are bounded, and it sees nothing but what
// is given here.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pith::model {

struct ChatMessage {
  std::string role;     // "system", "user", "assistant"
  std::string content;  // as it is; nothing in it is read as markup by the template
};

struct ChatOptions {
  // Ends the text where the assistant's next answer begins.
  bool add_generation_prompt = true;
  std::string bos_token = {}, eos_token = {};
  std::optional<std::tm> now = {};  // for strftime_now; unset: the local time
};

namespace jinja {
struct Program;
}

class ChatTemplate {
 public:
  // Throws ErrorKind::kData, naming line and column, for what is not the language, and
  // ErrorKind::kLimit for sources above 1 MiB or nested too deep.
  explicit ChatTemplate(std::string_view source);

  // The text of a conversation. Throws ErrorKind::kUsage with the template's own words where it
  // refuses the conversation (raise_exception: most want user and assistant in turn),
  // ErrorKind::kData for a mistake of the template, ErrorKind::kLimit for too much work.
  std::string render(std::span<const ChatMessage> messages, const ChatOptions& options = {}) const;

 private:
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace pith::model
