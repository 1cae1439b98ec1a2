// The "precompiled charsmap" of SentencePiece models (nmt_nfkc and its kind): strings to be
// replaced by others, as a double-array trie.
//
// The layout is a fact of the format: a u32 with the size of the trie in bytes, the trie's units
// (u32 each, as the library darts-clone writes them), then the replacements, each ended by a zero
// byte. A value in the trie is the offset of its replacement.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"

namespace pith::model {

class Charsmap {
 public:
  // Throws ErrorKind::kData for what cannot be one. Offsets inside are checked when they are used:
  // a damaged map replaces wrongly but stays within its bounds.
  explicit Charsmap(ByteView blob);

  // Appends what the longest match at `at` is replaced by, or the character itself; the number of
  // bytes taken from the text, at least 1.
  size_t replace(std::string_view text, size_t at, std::string& out) const;

 private:
  struct Match {
    size_t length = 0;
    uint32_t value = 0;
  };
  Match longest(std::string_view text, size_t at) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace pith::model
