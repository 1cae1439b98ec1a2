#include "pith/select/selection.h"

#include <algorithm>
#include <numeric>

#include "pith/base/error.h"

namespace pith::select {
namespace {

using Share = Selection::Share;

// What each kept item is made of; one share of itself where nothing was merged.
std::vector<Share> shares_of(const Selection& s) {
  if (!s.shares.empty()) return s.shares;
  std::vector<Share> own;
  for (uint32_t k = 0; k < s.kept.size(); ++k) own.push_back({s.kept[k], k, 1});
  return own;
}

}  // namespace

form::Matrix kept_rows(const Selection& selection, form::MatrixView rows) {
  if (rows.shape.rows != selection.count) {
    fail(ErrorKind::kUsage, "a selection among {} items, not among {}", selection.count,
         rows.shape.rows);
  }
  form::Matrix out({selection.kept.size(), rows.shape.cols});
  for (const Share& s : shares_of(selection)) {
    const auto from = rows.row(s.from);
    const auto to = out.row(s.to);
    for (size_t c = 0; c < to.size(); ++c) to[c] += s.weight * from[c];
  }
  return out;
}

Selection everything(uint64_t count) {
  Selection s{.count = count};
  s.kept.resize(count);
  std::iota(s.kept.begin(), s.kept.end(), 0u);
  return s;
}

Selection in_sequence(const Selection& first, const Selection& second) {
  if (second.count != first.kept.size() || !first.rests.empty())
    fail(ErrorKind::kUsage, "a selection among {} items after one that keeps {}", second.count,
         first.kept.size());
  Selection out{.count = first.count, .rests = second.rests};
  for (const uint32_t k : second.kept) out.kept.push_back(first.kept[k]);
  for (Selection::Rest& r : out.rests) {
    for (uint32_t& k : r.items) k = first.kept[k];
  }
  if (first.shares.empty() && second.shares.empty()) return out;
  const std::vector<Share> inner = shares_of(first);
  for (const Share& s : shares_of(second)) {
    auto it = std::ranges::lower_bound(inner, s.from, {}, &Share::to);
    for (; it != inner.end() && it->to == s.from; ++it)
      out.shares.push_back({it->from, s.to, it->weight * s.weight});
  }
  return out;
}

}  // namespace pith::select
