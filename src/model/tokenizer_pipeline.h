// What a tokenizer.json does to a text before it merges: its "normalizer" and "pre_tokenizer", read
// as one of the few combinations that the Llama family uses.
#pragma once

#include "byte_level_bpe.h"
#include "pith/io/json.h"
#include "sentencepiece_text.h"

namespace pith::model {

struct Pipeline {
  bool byte_level = false;
  ByteLevelOptions bytes;     // with byte_level
  SentencePieceText text;     // without
  bool split_spaces = false;  // without: every ▁ begins a word
};

// Throws ErrorKind::kData naming the step or the pattern that is not supported.
Pipeline read_pipeline(const io::Json& tokenizer);

}  // namespace pith::model
