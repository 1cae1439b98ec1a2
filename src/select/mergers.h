// What becomes of the items that a policy does not keep.
#pragma once

#include <cstdint>
#include <optional>

#include "pith/form/expression.h"
#include "pith/select/scores.h"

namespace pith::select {

struct Merger {
  enum class Kind : uint8_t {
    kNearest,   // into the kept item nearest in the sequence, of two the earlier
    kSimilar,   // into the one whose vector has the largest cosine, if that is the threshold at
                // least
    kClusters,  // kept items are the first centers of Lloyd's rounds over all items
    kSmooth,    // every kept item becomes a triangle-weighted mean of the dropped ones around it
  };
  Kind kind = Kind::kNearest;
  double threshold = -1;
  std::optional<form::Expression> weight = {};  // unset: all alike
  uint64_t rounds = 3, width = 3;

  bool by_vectors() const { return kind == Kind::kSimilar || kind == Kind::kClusters; }
};

// Throws ErrorKind::kUsage with the place for what is no merger.
Merger merger_of(const form::Expression& e);

// The selection with shares; it has none. Items: those it was made among.
void merge(const Merger& merger, const Items& items, Selection& selection);

}  // namespace pith::select
