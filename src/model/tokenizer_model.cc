#include "tokenizer_model.h"

#include "byte_alphabet.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "sentencepiece_text.h"

namespace pith::model {
namespace {

std::string with_spaces(std::string_view piece) {
  std::string out;
  for (size_t at = 0; at < piece.size();) {
    const bool mark = piece.substr(at).starts_with(kSpaceMark);
    out += mark ? ' ' : piece[at];
    at += mark ? kSpaceMark.size() : 1;
  }
  return out;
}

std::string text_of(const TokenizerModel& model, int32_t id) {
  const std::string_view piece = model.vocabulary.piece(id);
  switch (model.vocabulary.kind(id)) {
    case PieceKind::kControl:
      return {};
    case PieceKind::kUnknown:
      return model.unknown_text;
    case PieceKind::kByte:
      if (const int byte = byte_of_piece(piece); byte >= 0) return {static_cast<char>(byte)};
      return std::string(piece);
    case PieceKind::kUserDefined:
      return model.escaped_spaces ? with_spaces(piece) : std::string(piece);
    case PieceKind::kNormal:
    case PieceKind::kUnused:
      break;
  }
  if (model.byte_level) return bytes_of_letters(piece);
  return model.escaped_spaces ? with_spaces(piece) : std::string(piece);
}

}  // namespace

std::optional<int32_t> TokenizerModel::id_of(std::string_view piece) const {
  const int32_t id = vocabulary.find(piece);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

void TokenizerModel::add_token(AddedToken token) {
  if (token.content.empty()) fail(ErrorKind::kData, "an added token is empty");
  if (const int32_t known = vocabulary.find(token.content); known >= 0 && known != token.id) {
    fail(ErrorKind::kData, "the added token {} has the id {}, but it is piece {}",
         io::in_quotes(token.content), token.id, known);
  }
  const bool unknown =
      vocabulary.contains(token.id) && vocabulary.kind(token.id) == PieceKind::kUnknown;
  const PieceKind kind = unknown         ? PieceKind::kUnknown
                         : token.special ? PieceKind::kControl
                                         : PieceKind::kUserDefined;
  vocabulary.add_at(token.id, token.content, kind);
  added.add(std::move(token));
}

void TokenizerModel::finish() {
  if (vocabulary.size() == 0) fail(ErrorKind::kData, "the vocabulary is empty");
  texts.clear();
  text_ends.clear();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    texts += text_of(*this, id);
    text_ends.push_back(texts.size());
  }
}

std::string_view TokenizerModel::text(int32_t id) const {
  const auto k = static_cast<size_t>(id);
  const uint64_t begin = k == 0 ? 0 : text_ends[k - 1];
  return std::string_view(texts).substr(begin, text_ends[k] - begin);
}

}  // namespace pith::model
