#include "pith/kv/local_map.h"

#include <algorithm>

namespace pith::kv {

void LocalMap::add(std::span<const float> weights) {
  if (weights.empty()) return;
  rows_.resize(std::max(rows_.size(), weights.size()));
  rows_[weights.size() - 1].assign(weights.begin(), weights.end());
}

void LocalMap::leave(uint64_t tokens) {
  const auto gone = static_cast<std::ptrdiff_t>(std::min<uint64_t>(tokens, rows_.size()));
  rows_.erase(rows_.begin(), rows_.begin() + gone);
  for (std::vector<float>& row : rows_) {
    const auto before = static_cast<std::ptrdiff_t>(std::min<uint64_t>(tokens, row.size()));
    row.erase(row.begin(), row.begin() + before);
  }
}

void LocalMap::shorten(uint64_t tokens) {
  if (tokens < rows_.size()) rows_.resize(tokens);
}

form::Matrix LocalMap::map(uint64_t tokens) const {
  form::Matrix out({tokens, tokens});
  for (uint64_t r = 0; r < std::min<uint64_t>(tokens, rows_.size()); ++r)
    std::ranges::copy(rows_[r], out.row(r).begin());
  return out;
}

}  // namespace pith::kv
