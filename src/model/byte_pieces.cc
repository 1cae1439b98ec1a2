#include "byte_pieces.h"

#include <algorithm>

#include "pith/base/error.h"
#include "pith/io/text.h"

namespace pith::model {

BytePieces::BytePieces(const Vocabulary& vocabulary, bool use_bytes, int32_t unknown)
    : unknown_(unknown) {
  ids_.fill(-1);
  if (!use_bytes) return;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.kind(id) != PieceKind::kByte) continue;
    const int byte = byte_of_piece(vocabulary.piece(id));
    if (byte >= 0) ids_[static_cast<size_t>(byte)] = id;
  }
}

bool BytePieces::has_all(std::string_view text) const {
  return std::ranges::all_of(text, [&](char c) { return ids_[static_cast<uint8_t>(c)] >= 0; });
}

void BytePieces::append(std::string_view text, std::vector<int32_t>& out) const {
  if (has_all(text)) {
    for (const char c : text) out.push_back(ids_[static_cast<uint8_t>(c)]);
    return;
  }
  if (unknown_ < 0) {
    fail(ErrorKind::kData, "the vocabulary has no piece for {}, no bytes and no unknown piece",
         io::in_quotes(text));
  }
  out.push_back(unknown_);
}

}  // namespace pith::model
