// SentencePiece's unigram models (T5 and its kind): of all ways to cut a text into pieces, the one
// of the highest sum of scores, by dynamic programming. O(n · longest piece).
#pragma once

#include <vector>

#include "byte_pieces.h"
#include "segmenter.h"
#include "sentencepiece_text.h"

namespace pith::model {

class Unigram : public Segmenter {
 public:
  // Normal and user-defined pieces take part. Throws ErrorKind::kData for a score that is no
  // number.
  Unigram(const Vocabulary& vocabulary, SentencePieceText text, BytePieces bytes);
  void encode(std::string_view section, bool first, std::vector<int32_t>& out) const override;
  SegmenterParts parts() const override { return {.text = &text_, .unigram = true}; }

 private:
  struct End;  // the best way to cut the text up to a place
  std::vector<End> best_ends(std::string_view text) const;

  SentencePieceText text_;
  BytePieces bytes_;
  ByteTrie pieces_;
  std::vector<float> scores_;       // of the ids
  std::vector<bool> user_defined_;  // ids whose score depends on their length
  float highest_ = 0, unknown_score_ = 0;
};

}  // namespace pith::model
