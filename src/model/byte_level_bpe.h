// Byte-level BPE (GPT-2, Llama 3, Qwen 2): words by a rule, then merges of bytes inside each.
#pragma once

#include <array>

#include "ranked_merges.h"
#include "segmenter.h"
#include "word_split.h"

namespace pith::model {

struct ByteLevelOptions {
  WordRule words = WordRule::kGpt2;
  bool ignore_merges = false;     // a word that is a piece as a whole is that piece
  bool add_prefix_space = false;  // a space in front of each section that has none
  bool compose = false;           // NFC first
};

class ByteLevelBpe : public Segmenter {
 public:
  // The pieces are written in the alphabet of byte_alphabet.h. `unknown`: for a byte without a
  // piece; -1: such a byte is an error.
  ByteLevelBpe(const Vocabulary& vocabulary, RankedMerges merges, const ByteLevelOptions& options,
               int32_t unknown);

  void encode(std::string_view section, bool first, std::vector<int32_t>& out) const override;
  SegmenterParts parts() const override { return {.merges = &merges_, .bytes = &options_}; }

 private:
  class Run;

  RankedMerges merges_;
  ByteLevelOptions options_;
  std::array<int32_t, 256> bytes_;
  StringIndex words_;  // with ignore_merges: the pieces by the bytes they stand for
};

}  // namespace pith::model
