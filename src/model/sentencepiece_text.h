// What SentencePiece does to a text before it looks for pieces: spaces become ▁, one may be put in
// front, and some models replace characters by others.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "byte_trie.h"
#include "charsmap.h"

namespace pith::model {

enum class Prefix : uint8_t {
  kNone,
  kFirst,          // a ▁ in front of the text
  kEvery,          // and after each special token
  kFirstIfAbsent,  // the same where the section does not begin with a space
  kEveryIfAbsent,
};

struct SentencePieceText {
  Prefix prefix = Prefix::kEvery;
  bool escape_spaces = true;         // ' ' is written ▁
  bool remove_extra_spaces = false;  // none at the ends, no two together
  std::shared_ptr<const Charsmap> charsmap;
  ByteTrie verbatim;  // pieces that the user defined: not touched by the above

  std::string prepare(std::string_view section, bool first) const;

 private:
  std::string replaced(std::string_view section) const;
};

constexpr std::string_view kSpaceMark = "\u2581";

// Whether a merge can never join what stands before a ▁ with it: then each stretch ▁…▁abc of a text
// can be merged by itself, with the same result. True where every piece has its ▁ at its beginning.
class WordBoundaries {
 public:
  void add_piece(std::string_view piece);
  // Calls use(stretch) for each stretch in turn; for the whole text where words are not apart.
  template <class Use>
  void each(std::string_view text, const Use& use) const {
    for (size_t at = 0; at < text.size();) {
      const size_t end = next(text, at);
      use(text.substr(at, end - at));
      at = end;
    }
  }

 private:
  // The end of the stretch that begins at `at`.
  size_t next(std::string_view text, size_t at) const;

  bool apart_ = true;
};

}  // namespace pith::model
