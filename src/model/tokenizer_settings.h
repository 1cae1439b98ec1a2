// What the small JSON files beside a tokenizer say about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pith/io/json.h"
#include "pith/model/model_folder.h"
#include "tokenizer_model.h"

namespace pith::model {

struct TokenizerSettings {
  std::string bos, eos, unk;               // pieces; empty: not said
  std::optional<uint64_t> bos_id, eos_id;  // of config.json, for where no file names the pieces
  std::optional<bool> add_bos;
  std::optional<bool> legacy;  // SentencePiece: a space after each special token as well
  std::vector<AddedToken> added;
  std::string chat_template;
};

// Reads those of a folder that are there. Throws ErrorKind::kData naming the file and the place.
TokenizerSettings read_settings(const ModelFolder& folder);

// Adds the tokens, then sets bos, eos and the chat template, which go before what the tokenizer's
// own file says. Does not touch adds_bos.
void apply(const TokenizerSettings& settings, TokenizerModel& model);

// An object with "content", "lstrip", "rstrip", "single_word" and "special".
AddedToken added_token(const io::Json& object, uint64_t id);

// A member that is true or false; `otherwise` where there is none.
bool flag(const io::Json& object, std::string_view name, bool otherwise);

}  // namespace pith::model
