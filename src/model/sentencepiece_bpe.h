// BPE over characters with spaces written ▁: SentencePiece's own, which merges by the scores of the
// pieces, and that of tokenizer.json files made from such models, which merges by a ranked list.
#pragma once

#include <vector>

#include "byte_pieces.h"
#include "ranked_merges.h"
#include "segmenter.h"
#include "sentencepiece_text.h"

namespace pith::model {

// Merges any two neighbours that together are a piece, that of the highest score first. Characters
// without a piece become bytes, or the unknown piece, after the merging.
class ScoredBpe : public Segmenter {
 public:
  // Pieces of the kinds normal, user-defined and unused take part; text.verbatim is filled here.
  // Throws ErrorKind::kData for a score that is no number.
  ScoredBpe(const Vocabulary& vocabulary, SentencePieceText text, BytePieces bytes);
  void encode(std::string_view section, bool first, std::vector<int32_t>& out) const override;
  SegmenterParts parts() const override { return {.text = &text_}; }

 private:
  class Run;

  SentencePieceText text_;
  BytePieces bytes_;
  StringIndex pieces_;
  std::vector<uint32_t> ranks_;  // of the ids: 0 for the highest score
  std::vector<bool> unused_;     // ids that are taken apart again
  WordBoundaries boundaries_;
};

// Merges by a list of pairs. Characters without a piece become bytes before the merging.
class EscapedBpe : public Segmenter {
 public:
  struct Options {
    bool fuse_unknown = false;   // one unknown piece for several characters together
    bool ignore_merges = false;  // a word that is a piece as a whole is that piece
    bool split_spaces = false;   // every ▁ begins a word
  };
  EscapedBpe(const Vocabulary& vocabulary, SentencePieceText text, BytePieces bytes,
             RankedMerges merges, const Options& options);
  void encode(std::string_view section, bool first, std::vector<int32_t>& out) const override;
  SegmenterParts parts() const override { return {.merges = &merges_, .text = &text_}; }

 private:
  class Run;
  size_t word_end(std::string_view text, size_t at) const;

  SentencePieceText text_;
  BytePieces bytes_;
  RankedMerges merges_;
  StringIndex pieces_;
  WordBoundaries boundaries_;
  Options options_;
};

}  // namespace pith::model
