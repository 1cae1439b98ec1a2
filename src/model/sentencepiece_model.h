// A SentencePiece vocabulary, from whichever file, as a tokenizer.
#pragma once

#include <memory>
#include <string>

#include "sentencepiece_text.h"
#include "tokenizer_model.h"

namespace pith::model {

struct SentencePieceParts {
  Vocabulary vocabulary;
  SentencePieceText text;
  bool unigram = false;  // else BPE
  bool byte_fallback = false;
  std::string unknown_text = " \u2047 ";  // what SentencePiece shows for the unknown piece
};

// Throws ErrorKind::kData for a vocabulary that cannot be used. Control pieces become special
// tokens.
std::unique_ptr<TokenizerModel> make_sentencepiece(SentencePieceParts parts);

// Reads a model file (a protocol buffer, ModelProto). `legacy`: the space in front of a text stands
// after each special token inside it as well.
std::unique_ptr<TokenizerModel> read_sentencepiece(ByteView file, bool legacy = true);

}  // namespace pith::model
