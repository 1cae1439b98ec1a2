// The words of one text that were merged before: in ordinary text most come again.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pith::model {

class WordCache {
 public:
  // `out` takes the ids of all words and must not lose any while the cache lives.
  explicit WordCache(std::vector<int32_t>& out) : out_(out) {}

  // Appends the ids of a word, which encode() appends when it is a new one. The text of the words
  // must outlive the cache.
  template <class Encode>
  void append(std::string_view word, const Encode& encode) {
    if (word.size() > kMaxBytes) return encode();
    if (const auto known = words_.find(word); known != words_.end()) {
      for (size_t k = known->second.begin; k < known->second.end; ++k) out_.push_back(out_[k]);
      return;
    }
    const size_t begin = out_.size();
    encode();
    if (words_.size() < kMaxWords) words_.emplace(word, Range{begin, out_.size()});
  }

 private:
  static constexpr size_t kMaxBytes = 32;       // longer words seldom come again
  static constexpr size_t kMaxWords = 1 << 16;  // bounds the memory for a text of rare words
  struct Range {
    size_t begin, end;  // in out_
  };

  std::vector<int32_t>& out_;
  std::unordered_map<std::string_view, Range> words_;
};

}  // namespace pith::model
