// What a loader puts together: all that a Tokenizer knows.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "added_tokens.h"
#include "segmenter.h"
#include "vocabulary.h"

namespace pith::model {

struct TokenizerModel {
  std::string_view algorithm;
  Vocabulary vocabulary;
  std::unique_ptr<const Segmenter> segmenter;
  AddedTokens added;

  // How pieces are written: in the byte alphabet, or as text with ▁ for spaces.
  bool byte_level = false;
  bool escaped_spaces = false;
  // encode() puts a space in front of a text, which decode() takes away.
  bool prefixes_space = false;
  std::string unknown_text;  // what the unknown piece is shown as

  std::optional<int32_t> bos, eos, unk;
  bool adds_bos = false;
  std::string chat_template;

  // The text of each piece, one after the other; made by finish().
  std::string texts;
  std::vector<uint64_t> text_ends;

  // The id of a piece that a file names, when there is one.
  std::optional<int32_t> id_of(std::string_view piece) const;
  // Gives an existing or a new piece the part of an added token.
  void add_token(AddedToken token);
  // Computes what follows from the rest.
  void finish();
  std::string_view text(int32_t id) const;
};

}  // namespace pith::model
