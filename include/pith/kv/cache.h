// The keys and values of the positions that a session has read.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "pith/base/error.h"
#include "pith/kv/past.h"

namespace pith::kv {

// Positions whose keys lie interleaved, so that one vector operation scores all of them without
// summing across lanes; the widest vector in use.
inline constexpr uint64_t kKeyBlock = 16;

// For each layer and key-value head:
//   keys    [position / 16][element][position % 16]
//   values  [position][element], rows padded with zeros to 16 elements
// Memory is taken from the machine as positions are written. With options, positions that the
// window has left behind lie in forms, a tile at a time: those before base(), which grows.
class Cache {
 public:
  // heads: of keys and values in each layer; layers without any take nothing. at_a_time: the most
  // positions that are written between two calls of settle().
  Cache(const std::vector<uint64_t>& heads, uint64_t head_size, uint64_t capacity,
        std::optional<CacheOptions> options = {}, uint64_t at_a_time = 0)
      : head_size_(head_size),
        padded_((head_size + kKeyBlock - 1) / kKeyBlock * kKeyBlock),
        positions_((room(capacity, options, at_a_time) + kTileTokens - 1) / kTileTokens *
                   kTileTokens),
        options_(std::move(options)),
        first_(first_heads(heads)),
        size_(first_.back() * positions_ * (head_size_ + padded_)) {
    // Zeros that are not touched take no memory.
    memory_.reset(static_cast<float*>(std::calloc(size_ + kKeyBlock, sizeof(float))));
    if (!memory_) fail(ErrorKind::kLimit, "no memory for {} bytes of keys and values", bytes());
    const auto at = reinterpret_cast<uintptr_t>(memory_.get());
    begin_ = memory_.get() + (64 - at % 64) % 64 / sizeof(float);
    if (options_) past_.resize(first_.back());
  }

  uint64_t head_size() const { return head_size_; }
  uint64_t padded_size() const { return padded_; }
  // Of what is not in forms, when full.
  uint64_t bytes() const { return size_ * sizeof(float); }
  // Of forms, as they would be stored.
  uint64_t past_bits() const {
    uint64_t sum = 0;
    for (const Past& p : past_) sum += p.bits();
    return sum;
  }
  // The positions that lie as they are, of so many.
  static uint64_t room(uint64_t capacity, const std::optional<CacheOptions>& options,
                       uint64_t at_a_time) {
    if (!options || options->window >= capacity) return capacity;
    return std::min(capacity, options->window + kTileTokens + at_a_time);
  }
  // Of so many heads in all layers.
  static uint64_t bytes(uint64_t heads, uint64_t head_size, uint64_t capacity) {
    return heads * (2 * head_size + kKeyBlock) * sizeof(float) * (capacity + kTileTokens);
  }

  // From here on positions lie as they are; a multiple of kTileTokens.
  uint64_t base() const { return base_; }
  // Of the positions before base(); null where there are none.
  const Past* past(uint64_t layer, uint64_t head) const {
    return base_ > 0 ? &past_[first_[layer] + head] : nullptr;
  }

  // Of base() and what follows.
  const float* keys(uint64_t layer, uint64_t head) const { return begin_ + at(layer, head); }
  const float* values(uint64_t layer, uint64_t head) const {
    return keys(layer, head) + positions_ * head_size_;
  }

  // Key and value of one head at a position, from base() on.
  void write(uint64_t layer, uint64_t head, uint64_t position, const float* key,
             const float* value) {
    position -= base_;
    float* k = begin_ + at(layer, head) + position / kKeyBlock * kKeyBlock * head_size_ +
               position % kKeyBlock;
    float* v = begin_ + at(layer, head) + positions_ * head_size_ + position * padded_;
    for (uint64_t i = 0; i < head_size_; ++i) k[i * kKeyBlock] = key[i];
    for (uint64_t i = 0; i < head_size_; ++i) v[i] = value[i];
  }

  // Whole tiles that the window leaves behind, now that so many positions are written, go into
  // forms. What it throws leaves positions unreadable: forget(0) then.
  void settle(uint64_t written, int threads);
  // Positions from this one on are to be written again; it is 0 or not before base().
  void forget(uint64_t position) {
    if (position > 0 && position >= base_) return;
    for (Past& p : past_) p.clear();
    base_ = 0;
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };

  uint64_t at(uint64_t layer, uint64_t head) const {
    return (first_[layer] + head) * positions_ * (head_size_ + padded_);
  }

  // The first tiles of a head go into forms, and the positions after them move to their place.
  void settle_head(uint64_t head, uint64_t tiles, uint64_t left);

  // Of each layer how many heads are before it; then of all.
  static std::vector<uint64_t> first_heads(const std::vector<uint64_t>& heads) {
    std::vector<uint64_t> first = {0};
    for (const uint64_t h : heads) first.push_back(first.back() + h);
    return first;
  }

  uint64_t head_size_, padded_, positions_, base_ = 0;
  std::optional<CacheOptions> options_;
  std::vector<Past> past_;  // of every head of every layer
  std::vector<uint64_t> first_;
  uint64_t size_;
  std::unique_ptr<float, Free> memory_;
  float* begin_ = nullptr;
};

}  // namespace pith::kv
