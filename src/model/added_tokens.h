// Tokens that are cut out of a text before anything else looks at it: control tokens such as
// <|eot_id|>, where the caller asks for them, and tokens that were added to a vocabulary later.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "byte_trie.h"

namespace pith::model {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;                          // only found on request
  bool single_word = false;                      // not inside a word
  bool strip_left = false, strip_right = false;  // takes whitespace beside it along
};

class AddedTokens {
 public:
  // A token whose content is there already replaces it.
  void add(AddedToken token);

  struct Found {
    size_t begin = 0, end = 0;  // in the text; begin == end: none
    int32_t id = -1;
  };
  // The first token at or after `from`, the longest of those that begin there.
  Found next(std::string_view text, size_t from, bool with_special) const;

 private:
  const AddedToken* longest(std::string_view text, size_t at, bool with_special) const;

  std::vector<AddedToken> tokens_;
  ByteTrie trie_;  // content → index in tokens_
};

}  // namespace pith::model
