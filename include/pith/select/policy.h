// Which items stay, in a notation:
//
//   sink(4) + window(64) + top(attention, 20%) | merge(similar)
//   sink(4) + window(32) + top(attention(latest=32))          as many as the budget leaves
//   window(64) + kcenter(128) | rest(uniform(2, group=32))    the others at two bits
//   top(attention, 10%) | tiles(attention, part(uniform(4), 30%), part(uniform(2)))
//   top(relevance, 50%) | top(diversity, 10%)                 one after the other
//
// Terms of a sum are taken in their order, each among what those before have not taken; counts are
// items, shares are of the items that the step has. `|` stands after the last term and passes
// everything on.
//
//   keepers   all; sink(n); window(n); every(n); top(score, n); nucleus(score, share): the fewest
//             that have this share of the score (top-p); spans(score, n, length=16): stretches;
//             kcenter(n): each farthest from all that are kept (Sener and Savarese 2018);
//             ladder(depth=2, overlap=1): the older an item, the shallower the layers that have it
//             (LaCache: Shi et al. 2025)
//   steps     merge(nearest), merge(similar, threshold=0.5), merge(clusters, rounds=3),
//             merge(smooth, width=3), each with weight=score: what is dropped goes into what stays
//             rest(FORM): what is dropped stays in that form; the last step
//             tiles(SCORE, part(FORM, n), …, part(FORM)): likewise, of what is dropped the n of
//             the largest score in the first form, and so on; what no part takes is lost
//
// Where n is left out, what the budget has left is taken. Of equal scores the earlier item stays.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/select/scores.h"
#include "pith/select/selection.h"

namespace pith::select {

struct Step;

// Cheap to copy.
class Policy {
 public:
  // Throws ErrorKind::kUsage with the place for anything that is no policy, before there are items.
  explicit Policy(std::string_view text);

  // budget: the most items that stay (those in other forms not counted); unset: as the policy says.
  // Throws ErrorKind::kUsage for a keeper without a count where there is no budget, kLimit where
  // the budget is less than what must stay, and what score() throws. window: the last items that
  // stay before anything else, whatever the policy says.
  Selection select(const Items& items, std::optional<uint64_t> budget = {},
                   uint64_t window = 0) const;

  bool needs_attention() const;
  // Not only of the latest queries.
  bool needs_all_attention() const;
  bool needs_vectors() const;
  bool needs_queries() const;
  // The items that must stay, of so many, whatever the budget, beside the last `window`.
  uint64_t least(uint64_t count, uint64_t window) const;
  // What is dropped stays in other forms.
  bool has_rest() const;
  // Of the latest queries that its scores look back on.
  uint64_t latest() const;
  std::string text() const;

 private:
  form::Expression expression_;
  std::shared_ptr<const std::vector<Step>> steps_;
};

}  // namespace pith::select
