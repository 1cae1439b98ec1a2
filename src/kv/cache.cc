#include "pith/kv/cache.h"

#include <cstring>

#include "pith/base/parallel.h"

namespace pith::kv {

void Cache::settle(uint64_t written, int threads) {
  if (!options_ || written < base_ + options_->window + kTileTokens) return;
  const uint64_t tiles = (written - base_ - options_->window) / kTileTokens;
  const uint64_t left = written - base_ - tiles * kTileTokens;
  parallel_for(threads, past_.size(), [&](size_t head) { settle_head(head, tiles, left); });
  base_ += tiles * kTileTokens;
}

void Cache::settle_head(uint64_t head, uint64_t tiles, uint64_t left) {
  float* keys = begin_ + head * positions_ * (head_size_ + padded_);
  float* values = keys + positions_ * head_size_;
  std::vector<float> k(kTileTokens * head_size_), v(k.size());
  for (uint64_t tile = 0; tile < tiles; ++tile) {
    for (uint64_t t = 0; t < kTileTokens; ++t) {
      const uint64_t at = tile * kTileTokens + t;
      const float* key = keys + at / kKeyBlock * kKeyBlock * head_size_ + at % kKeyBlock;
      for (uint64_t i = 0; i < head_size_; ++i) k[t * head_size_ + i] = key[i * kKeyBlock];
      std::memcpy(v.data() + t * head_size_, values + at * padded_, head_size_ * sizeof(float));
    }
    past_[head].add(*options_, k.data(), v.data(), kTileTokens, head_size_);
  }
  // Keys by whole blocks; what lies behind the last position of one is written again.
  const uint64_t kept = (left + kKeyBlock - 1) / kKeyBlock * kKeyBlock, gone = tiles * kTileTokens;
  std::memmove(keys, keys + gone * head_size_, kept * head_size_ * sizeof(float));
  std::memmove(values, values + gone * padded_, left * padded_ * sizeof(float));
}

}  // namespace pith::kv
