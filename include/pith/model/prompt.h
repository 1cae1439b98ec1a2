// What a language model is to read: a text to be continued or a conversation to be answered, as
// token ids, and how much room a session needs for them.
//
//   const auto chat = chat_template_of(model);
//   auto ids = chat_ids(model, chat_text(model, *chat, {{"user", "Who are you?"}}));
//   Session session(model, fit_prompt(model.config(), ids, {.max_tokens = 256}));
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/model/chat_template.h"
#include "pith/model/language_model.h"

namespace pith::model {

// Throws ErrorKind::kData, saying why, where the model has none that can be used.
const Tokenizer& tokenizer_of(const LanguageModel& model);

// Ids of a text. Throws as tokenizer_of() does, and ErrorKind::kData for tokens that the embedding
// has no rows for: tokenizers are given tokens that their models do not know.
std::vector<int32_t> text_ids(const LanguageModel& model, std::string_view text,
                              const EncodeOptions& options = {});

// The template in the model's files; nothing where there is none. Throws as ChatTemplate does,
// naming the model.
std::optional<ChatTemplate> chat_template_of(const LanguageModel& model);

// A conversation as the template puts it, with the names of the model's bos and eos tokens. Throws
// as ChatTemplate::render does, naming the model.
std::string chat_text(const LanguageModel& model, const ChatTemplate& chat,
                      std::span<const ChatMessage> messages, bool add_generation_prompt = true);
// Ids of such a text: names of control tokens are these tokens, and bos stands where the text has
// it.
std::vector<int32_t> chat_ids(const LanguageModel& model, std::string_view text);

struct RoomOptions {
  uint64_t context = 0;     // positions; 0: what is needed, at most those the model is made for
  uint64_t max_tokens = 0;  // that will be written; 0: as many as there is room for
  bool truncate = false;    // a prompt that is too long loses its beginning, but for bos
};

// Positions that a session needs, after the prompt has been cut to leave room for the answer: half
// of them, or max_tokens if these are fewer. Throws ErrorKind::kUsage for an empty prompt,
// ErrorKind::kLimit for one that does not fit.
uint64_t fit_prompt(const DecoderConfig& config, std::vector<int32_t>& ids,
                    const RoomOptions& options);

}  // namespace pith::model
