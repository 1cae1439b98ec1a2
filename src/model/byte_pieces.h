// The pieces <0x00> … <0xFF> of a vocabulary, for what it has no other piece for.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "vocabulary.h"

namespace pith::model {

class BytePieces {
 public:
  // Without `use_bytes` there are none. `unknown`: the piece for bytes without one; -1: none.
  BytePieces(const Vocabulary& vocabulary, bool use_bytes, int32_t unknown);

  // All of the text's bytes have a piece.
  bool has_all(std::string_view text) const;
  int32_t unknown() const { return unknown_; }
  int32_t operator[](uint8_t byte) const { return ids_[byte]; }
  // Appends the bytes' pieces, or one unknown piece for all of them; throws ErrorKind::kData where
  // the vocabulary has neither.
  void append(std::string_view text, std::vector<int32_t>& out) const;

 private:
  std::array<int32_t, 256> ids_;
  int32_t unknown_;
};

}  // namespace pith::model
