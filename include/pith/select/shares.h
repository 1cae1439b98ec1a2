// How many items each of several sequences may keep, of a number for all: heads, layers, documents.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::select {

struct ShareOptions {
  uint64_t least = 1;  // that every sequence keeps, where it has so many
  uint64_t step = 1;   // items that are given at a time
};

// Counts with the least sum of scores that are not kept (Ada-KV: Feng et al. 2024): scores of each
// sequence, not negative. Counts add up to at most `total`. Throws ErrorKind::kLimit where the
// least that all keep is more than that.
std::vector<uint64_t> shares_by_score(std::span<const std::vector<float>> scores, uint64_t total,
                                      const ShareOptions& options = {});

// Counts in proportion to weights (entropies of heads: UNComp), none above its sequence's size,
// what that leaves going to the others. They add up to `total`, or to all items where these are
// fewer.
std::vector<uint64_t> shares_by_weight(std::span<const double> weights,
                                       std::span<const uint64_t> sizes, uint64_t total,
                                       const ShareOptions& options = {});

// Counts that fall in equal steps from the first sequence to the last, the first having `ratio`
// times what the last has (PyramidKV: Cai et al. 2024).
std::vector<uint64_t> shares_falling(std::span<const uint64_t> sizes, uint64_t total, double ratio,
                                     const ShareOptions& options = {});

// Marks this part of them, rounded, that is largest; of equals the first.
std::vector<bool> largest(std::span<const double> values, double part);

}  // namespace pith::select
