// Merges as a ranked list of pairs, the way of Hugging Face's BPE.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "flat_map.h"
#include "merge_symbols.h"
#include "vocabulary.h"

namespace pith::model {

class RankedMerges {
 public:
  void reserve(size_t count) { merges_.reserve(count); }
  // Adds the next merge, of lower priority than all before; a pair that stands twice keeps its
  // first place. Throws ErrorKind::kData when a part or the whole is no piece of the vocabulary.
  void add(const Vocabulary& vocabulary, std::string_view left, std::string_view right);
  // The same, from "left right".
  void add(const Vocabulary& vocabulary, std::string_view pair);

  struct Pair {
    int32_t left, right, whole;
  };
  // All of them, the first to be merged first.
  std::vector<Pair> in_order() const;

  Merge find(int32_t left, int32_t right) const {
    if (left < 0 || right < 0) return {};
    const auto* merge =
        merges_.find(uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right));
    return merge ? Merge{merge->first, static_cast<int32_t>(merge->second)} : Merge{};
  }
  Merge operator()(const Symbol& left, const Symbol& right) const {
    return find(left.id, right.id);
  }

 private:
  FlatMap merges_;
  uint32_t next_rank_ = 0;
};

}  // namespace pith::model
