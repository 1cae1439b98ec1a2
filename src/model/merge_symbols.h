// Byte-pair encoding of one stretch of text: as long as two neighbours can be merged, the pair of
// the best priority is, the leftmost of equals first.
//
// SentencePiece finds a merge by the string of the two together (its priority is the score of the
// piece), the byte-level models by the ids of the two in a list of merges (its place in the list).
// Both are a function from two neighbours to a Merge. O(n log n).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace pith::model {

struct Symbol {
  uint32_t begin = 0, size = 0;      // in the text; size 0: merged into one before it
  int32_t id = -1;                   // -1: no piece of the vocabulary
  int32_t previous = -1, next = -1;  // neighbours, -1 at the ends
};

struct Merge {
  uint32_t priority = UINT32_MAX;  // small first; UINT32_MAX: these two do not merge
  int32_t id = -1;                 // of the merged symbol
};

// Symbols in text order with the work space of the algorithm, for use again and again.
class SymbolList {
 public:
  void clear() { symbols_.clear(); }
  // Symbols follow each other without gaps; size > 0.
  void add(uint32_t begin, uint32_t size, int32_t id) {
    const auto index = static_cast<int32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back({begin, size, id, index - 1, -1});
  }

  // find(left, right) → Merge
  template <class Find>
  void merge(const Find& find) {
    queue_.clear();
    for (size_t k = 1; k < symbols_.size(); ++k) propose(static_cast<int32_t>(k - 1), find);
    std::ranges::make_heap(queue_, later);
    while (!queue_.empty()) {
      std::ranges::pop_heap(queue_, later);
      const Candidate best = queue_.back();
      queue_.pop_back();
      if (!join(best)) continue;
      const Symbol& joined = symbols_[static_cast<size_t>(best.left)];
      const int32_t previous = joined.previous;
      push(previous, find);
      push(joined.next >= 0 ? best.left : -1, find);
    }
  }

  // In text order.
  template <class Use>
  void each(const Use& use) const {
    for (const Symbol& symbol : symbols_) {
      if (symbol.size > 0) use(symbol);
    }
  }

 private:
  struct Candidate {
    uint32_t priority;
    int32_t left;
    uint32_t size;  // of both when they were proposed: tells whether they are still the same
    int32_t id;
  };
  static bool later(const Candidate& a, const Candidate& b) {
    return a.priority != b.priority ? a.priority > b.priority : a.left > b.left;
  }

  template <class Find>
  bool propose(int32_t left, const Find& find) {
    const Symbol& first = symbols_[static_cast<size_t>(left)];
    const Symbol& second = symbols_[static_cast<size_t>(first.next)];
    const Merge merge = find(first, second);
    if (merge.priority == UINT32_MAX) return false;
    queue_.push_back({merge.priority, left, first.size + second.size, merge.id});
    return true;
  }
  template <class Find>
  void push(int32_t left, const Find& find) {
    if (left >= 0 && propose(left, find)) std::ranges::push_heap(queue_, later);
  }
  bool join(const Candidate& best) {
    Symbol& left = symbols_[static_cast<size_t>(best.left)];
    if (left.size == 0 || left.next < 0) return false;
    Symbol& right = symbols_[static_cast<size_t>(left.next)];
    if (left.size + right.size != best.size) return false;
    left.size = best.size;
    left.id = best.id;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].previous = best.left;
    return true;
  }

  std::vector<Symbol> symbols_;
  std::vector<Candidate> queue_;
};

}  // namespace pith::model
