// The strings of a set that begin at one place of a text, shortest first.
#pragma once

#include <string_view>

#include "flat_map.h"

namespace pith::model {

class ByteTrie {
 public:
  bool empty() const { return ids_.size() == 0; }

  // The id of a string that is there already stays. The empty string is not taken.
  void add(std::string_view text, int32_t id) {
    if (text.empty()) return;
    uint32_t node = 0;
    for (const char c : text) {
      const auto next = static_cast<uint32_t>(edges_.size() + 1);
      edges_.insert(edge(node, c), {next, 0});
      node = edges_.find(edge(node, c))->first;
    }
    ids_.insert(node, {static_cast<uint32_t>(id), 0});
  }

  // Calls found(length, id) for each string that stands at `at`.
  template <class Found>
  void each_prefix(std::string_view text, size_t at, const Found& found) const {
    uint32_t node = 0;
    for (size_t end = at; end < text.size();) {
      const FlatMap::Value* next = edges_.find(edge(node, text[end]));
      if (!next) return;
      node = next->first;
      ++end;
      if (const auto* id = ids_.find(node)) found(end - at, static_cast<int32_t>(id->first));
    }
  }

  struct Match {
    size_t length = 0;  // 0: none
    int32_t id = -1;
  };
  Match longest(std::string_view text, size_t at) const {
    Match best;
    each_prefix(text, at, [&](size_t length, int32_t id) { best = {length, id}; });
    return best;
  }

 private:
  static uint64_t edge(uint32_t node, char c) {
    return uint64_t{node} << 8 | static_cast<uint8_t>(c);
  }

  FlatMap edges_;  // node and byte → node; the root is 0
  FlatMap ids_;    // node → id
};

}  // namespace pith::model
