// The keys and values of the positions that a session has read.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "pith/base/error.h"

namespace pith::model {

// Positions whose keys lie interleaved, so that one vector operation scores all of them without
// summing across lanes; the widest vector in use.
inline constexpr uint64_t kKeyBlock = 16;
// Positions that attention works off at a time; every head has room for whole tiles.
inline constexpr uint64_t kTile = 128;

// For each layer and key-value head:
//   keys    [position / 16][element][position % 16]
//   values  [position][element], rows padded with zeros to 16 elements
// Memory is taken from the machine as positions are written.
class KvCache {
 public:
  // heads: of keys and values in each layer; layers without any take nothing.
  KvCache(const std::vector<uint64_t>& heads, uint64_t head_size, uint64_t capacity)
      : head_size_(head_size),
        padded_((head_size + kKeyBlock - 1) / kKeyBlock * kKeyBlock),
        positions_((capacity + kTile - 1) / kTile * kTile),
        first_(first_heads(heads)),
        size_(first_.back() * positions_ * (head_size_ + padded_)) {
    // Zeros that are not touched take no memory.
    memory_.reset(static_cast<float*>(std::calloc(size_ + kKeyBlock, sizeof(float))));
    if (!memory_) fail(ErrorKind::kLimit, "no memory for {} bytes of keys and values", bytes());
    const auto at = reinterpret_cast<uintptr_t>(memory_.get());
    begin_ = memory_.get() + (64 - at % 64) % 64 / sizeof(float);
  }

  uint64_t head_size() const { return head_size_; }
  uint64_t padded_size() const { return padded_; }
  uint64_t bytes() const { return size_ * sizeof(float); }
  // Of so many heads in all layers.
  static uint64_t bytes(uint64_t heads, uint64_t head_size, uint64_t capacity) {
    return heads * (2 * head_size + kKeyBlock) * sizeof(float) * (capacity + kTile);
  }

  const float* keys(uint64_t layer, uint64_t head) const { return begin_ + at(layer, head); }
  const float* values(uint64_t layer, uint64_t head) const {
    return keys(layer, head) + positions_ * head_size_;
  }

  // Key and value of one head at a position.
  void write(uint64_t layer, uint64_t head, uint64_t position, const float* key,
             const float* value) {
    float* k = begin_ + at(layer, head) + position / kKeyBlock * kKeyBlock * head_size_ +
               position % kKeyBlock;
    float* v = begin_ + at(layer, head) + positions_ * head_size_ + position * padded_;
    for (uint64_t i = 0; i < head_size_; ++i) k[i * kKeyBlock] = key[i];
    for (uint64_t i = 0; i < head_size_; ++i) v[i] = value[i];
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };

  uint64_t at(uint64_t layer, uint64_t head) const {
    return (first_[layer] + head) * positions_ * (head_size_ + padded_);
  }

  // Of each layer how many heads are before it; then of all.
  static std::vector<uint64_t> first_heads(const std::vector<uint64_t>& heads) {
    std::vector<uint64_t> first = {0};
    for (const uint64_t h : heads) first.push_back(first.back() + h);
    return first;
  }

  uint64_t head_size_, padded_, positions_;
  std::vector<uint64_t> first_;
  uint64_t size_;
  std::unique_ptr<float, Free> memory_;
  float* begin_ = nullptr;
};

}  // namespace pith::model
