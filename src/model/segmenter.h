// The algorithm that turns text between special tokens into ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace pith::model {

class RankedMerges;
struct ByteLevelOptions;
struct SentencePieceText;

// What another program's file needs to say for the same segmentation. Pointers into the segmenter;
// null: not of that kind.
struct SegmenterParts {
  const RankedMerges* merges = nullptr;     // else merged by the scores of pieces
  const ByteLevelOptions* bytes = nullptr;  // byte-level
  const SentencePieceText* text = nullptr;  // with spaces written as marks
  bool unigram = false;
};

class Segmenter {
 public:
  virtual ~Segmenter() = default;
  // Appends the ids of a section: the whole text, or what stands between special tokens. `first`:
  // it begins the text. Const and without hidden state, so that threads can share it.
  virtual void encode(std::string_view section, bool first, std::vector<int32_t>& out) const = 0;
  virtual SegmenterParts parts() const = 0;
};

}  // namespace pith::model
