// How much attention items have got, kept up query by query: what a cache needs to know of the past
// without its attention maps.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "pith/select/selection.h"

namespace pith::select {

class AttentionRecord {
 public:
  // recent: how many of the latest queries are remembered by themselves.
  explicit AttentionRecord(uint64_t recent = 32) : recent_(recent) {}

  // What several records of the same queries and as many items say together: the sums. Throws
  // ErrorKind::kUsage for none, and for others.
  static AttentionRecord together(std::span<const AttentionRecord> records);

  // The weights (not negative, finite) that one query, or several heads' together, gave to the
  // items 0, 1, … that it could see: to all so far and maybe new ones. Throws ErrorKind::kUsage for
  // fewer than were there and weights that cannot be.
  void add(std::span<const float> weights);

  uint64_t items() const { return total_.size(); }
  uint64_t queries() const { return queries_; }

  // The sum over all queries (H2O: Zhang et al. 2023): early items have been seen by more.
  std::vector<float> total() const { return total_; }
  // The same by how many queries saw the item (ZipCache: He et al. 2024).
  std::vector<float> mean() const;
  // The sum over the last `count` queries (SnapKV: Li et al. 2024), of those remembered.
  std::vector<float> latest(uint64_t count) const;

  // How much what items get changes from query to query: the variance over the remembered queries,
  // added up over the items that all of them could see. Low where the same items always get the
  // same, high where much attention moves with the query (HACK: Qin et al. 2025).
  double variance() const;

  // Up to so many items there are, as nothing has been given to those that are new.
  void lengthen(uint64_t items);
  // All that was given so far is forgotten; the items stay.
  void restart();
  // Items from this one on have never been there; what they gave stays.
  void shorten(uint64_t items);
  // Items leave, or are merged: what they got goes with their shares. What stays in a form of less
  // fidelity must be in a record of its own.
  void keep(const Selection& selection);

 private:
  uint64_t recent_, queries_ = 0;
  std::vector<float> total_;
  std::vector<uint64_t> seen_;  // queries that could see the item
  std::deque<std::vector<float>> rows_;
};

}  // namespace pith::select
