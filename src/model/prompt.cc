#include "pith/model/prompt.h"

#include <algorithm>

#include "pith/base/error.h"

namespace pith::model {
namespace {

std::string piece_or_nothing(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.piece(*id)) : "";
}

// The end of the prompt that leaves room for an answer.
void truncate(std::vector<int32_t>& ids, uint64_t context, uint64_t max_tokens,
              std::optional<int32_t> bos) {
  const uint64_t answer = std::min(max_tokens == 0 ? context / 2 : max_tokens, context / 2);
  const uint64_t kept = std::max<uint64_t>(context - answer, 1);
  const std::ptrdiff_t front = bos && ids.front() == *bos && kept > 1 ? 1 : 0;
  ids.erase(ids.begin() + front, ids.end() - (static_cast<std::ptrdiff_t>(kept) - front));
}

}  // namespace

const Tokenizer& tokenizer_of(const LanguageModel& model) {
  if (model.tokenizer()) return *model.tokenizer();
  if (!model.tokenizer_error().empty()) fail(ErrorKind::kData, "{}", model.tokenizer_error());
  fail(ErrorKind::kData, "{}: the model has no tokenizer", model.where());
}

std::vector<int32_t> text_ids(const LanguageModel& model, std::string_view text,
                              const EncodeOptions& options) {
  std::vector<int32_t> ids = tokenizer_of(model).encode(text, options);
  const uint32_t rows = model.config().vocabulary;
  for (const int32_t id : ids) {
    if (static_cast<uint32_t>(id) < rows) continue;
    fail(ErrorKind::kData, "{}: its tokenizer makes token {} of the text, the model has only {}",
         model.where(), id, rows);
  }
  return ids;
}

std::optional<ChatTemplate> chat_template_of(const LanguageModel& model) {
  const Tokenizer* tokenizer = model.tokenizer();
  if (!tokenizer || tokenizer->chat_template().empty()) return std::nullopt;
  try {
    return ChatTemplate(tokenizer->chat_template());
  } catch (const Error& error) {
    throw error.in(model.where());
  }
}

std::string chat_text(const LanguageModel& model, const ChatTemplate& chat,
                      std::span<const ChatMessage> messages, bool add_generation_prompt) {
  const Tokenizer& tokenizer = tokenizer_of(model);
  try {
    return chat.render(messages, {.add_generation_prompt = add_generation_prompt,
                                  .bos_token = piece_or_nothing(tokenizer, tokenizer.bos()),
                                  .eos_token = piece_or_nothing(tokenizer, tokenizer.eos())});
  } catch (const Error& error) {
    throw error.in(model.where());
  }
}

std::vector<int32_t> chat_ids(const LanguageModel& model, std::string_view text) {
  return text_ids(model, text, {.add_bos = false, .parse_special = true});
}

uint64_t fit_prompt(const DecoderConfig& config, std::vector<int32_t>& ids,
                    const RoomOptions& options) {
  if (ids.empty()) fail(ErrorKind::kUsage, "the prompt is empty");
  const uint64_t context = options.context > 0 ? options.context : config.context;
  if (ids.size() > context && options.truncate) {
    truncate(ids, context, options.max_tokens, config.bos);
  }
  if (ids.size() > context) {
    fail(ErrorKind::kLimit, "the prompt has {} tokens, the context has room for {}", ids.size(),
         context);
  }
  if (options.max_tokens == 0 || options.context > 0) return context;
  return ids.size() + std::min(options.max_tokens, context - ids.size());
}

}  // namespace pith::model
