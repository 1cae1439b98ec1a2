#include "pith/model/chat_template.h"

#include "jinja_evaluator.h"

namespace pith::model {
namespace {

// What every template may do, and what is added for each byte of the conversation.
constexpr uint64_t kWork = uint64_t{1} << 26, kWorkPerByte = 1024;

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm out{};
  ::localtime_r(&now, &out);
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source)
    : program_(std::make_shared<const jinja::Program>(jinja::parse(source))) {}

std::string ChatTemplate::render(std::span<const ChatMessage> messages,
                                 const ChatOptions& options) const {
  using jinja::Value;
  jinja::List list;
  uint64_t bytes = 0;
  for (const ChatMessage& message : messages) {
    list.push_back(
        Value::dict({{"role", Value(message.role)}, {"content", Value(message.content)}}));
    bytes += message.role.size() + message.content.size() + 64;
  }
  jinja::Variables globals = {
      {"messages", Value::list(std::move(list))},
      {"add_generation_prompt", Value(options.add_generation_prompt)},
      {"bos_token", Value(options.bos_token)},
      {"eos_token", Value(options.eos_token)},
      {"tools", Value()},
      {"documents", Value()},
  };
  return jinja::Evaluator(*program_, std::move(globals), options.now.value_or(local_time()),
                          kWork + kWorkPerByte * bytes)
      .run();
}

}  // namespace pith::model
