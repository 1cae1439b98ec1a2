// Keys and values out of a cache and into one.
#include <algorithm>

#include "pith/base/parallel.h"
#include "pith/kv/cache.h"

namespace pith::kv {
namespace {

// Positions from `first` on, of one head.
struct Rows {
  uint64_t first, count, head_size;
  float *keys, *values;

  uint64_t end() const { return first + count; }
};

// Those that lie in forms.
void read_past(const Past& past, uint64_t padded, const Rows& to) {
  std::vector<float> keys(kTileTokens * to.head_size), values(kTileTokens * padded);
  for (uint64_t tile = 0; tile < past.tiles(); ++tile) {
    const uint64_t at = past.first(tile), begin = std::max(at, to.first);
    const uint64_t end = std::min(at + past.count(tile), to.end());
    if (begin >= end) continue;
    past.load_keys(tile, keys.data());
    past.load_values(tile, values.data(), padded);
    for (uint64_t p = begin; p < end; ++p) {
      float* key = to.keys + (p - to.first) * to.head_size;
      for (uint64_t i = 0; i < to.head_size; ++i) key[i] = keys[i * kTileTokens + p - at];
      std::copy_n(values.data() + (p - at) * padded, to.head_size,
                  to.values + (p - to.first) * to.head_size);
    }
  }
}

}  // namespace

Arrays Cache::arrays(uint64_t first, uint64_t count, int threads) const {
  Arrays out{.first = first, .tokens = count, .head_size = head_size_};
  for (size_t l = 0; l + 1 < first_.size(); ++l) out.heads.push_back(first_[l + 1] - first_[l]);
  out.keys.resize(out.size());
  out.values.resize(out.size());
  parallel_for(threads, out.all_heads(), [&](size_t head) {
    const uint64_t at = head * count * head_size_;
    const Rows to{first, count, head_size_, out.keys.data() + at, out.values.data() + at};
    if (first < base_) read_past(past_[head], padded_, to);
    const float* keys = begin_ + head * positions_ * (head_size_ + padded_);
    const float* values = keys + positions_ * head_size_;
    for (uint64_t p = std::max(first, base_); p < to.end(); ++p) {
      const uint64_t from = p - base_, row = (p - first) * head_size_;
      const float* key = keys + from / kKeyBlock * kKeyBlock * head_size_ + from % kKeyBlock;
      for (uint64_t i = 0; i < head_size_; ++i) to.keys[row + i] = key[i * kKeyBlock];
      std::copy_n(values + from * padded_, head_size_, to.values + row);
    }
  });
  return out;
}

void Cache::write(const Arrays& from, uint64_t begin, uint64_t count, int threads) {
  parallel_for(threads, from.heads.size(), [&](size_t layer) {
    for (uint64_t head = 0; head < from.heads[layer]; ++head) {
      const uint64_t rows = (first_[layer] + head) * from.tokens;
      for (uint64_t t = begin; t < begin + count; ++t) {
        const uint64_t at = (rows + t) * head_size_;
        write(layer, head, from.first + t, from.keys.data() + at, from.values.data() + at);
      }
    }
  });
}

}  // namespace pith::kv
