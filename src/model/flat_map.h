// A hash table from 64-bit keys to two 32-bit values, in one array: merges and tries are looked up
// several times for every character.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pith::model {

class FlatMap {
 public:
  struct Value {
    uint32_t first = 0, second = 0;
  };
  static constexpr uint64_t kNoKey = UINT64_MAX;  // the one key that cannot be stored

  void reserve(size_t count) { rehash(std::bit_ceil(count * 2 + 2)); }
  size_t size() const { return size_; }

  // Keeps the value of a key that is there already; true when it was new.
  bool insert(uint64_t key, Value value) {
    if (slots_.size() < (size_ + 1) * 2) rehash(slots_.size() * 2 + 16);
    Slot& slot = slots_[place(key)];
    if (slot.key == key) return false;
    slot = {key, value};
    ++size_;
    return true;
  }
  // use(key, value) of all, in no order.
  template <class Use>
  void each(const Use& use) const {
    for (const Slot& slot : slots_) {
      if (slot.key != kNoKey) use(slot.key, slot.value);
    }
  }
  const Value* find(uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

 private:
  struct Slot {
    uint64_t key = kNoKey;
    Value value;
  };

  // The slot of the key, or the free one where it would stand.
  size_t place(uint64_t key) const {
    uint64_t hash = key * 0x9E3779B97F4A7C15;
    hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93;
    size_t at = static_cast<size_t>(hash >> 20) & (slots_.size() - 1);
    while (slots_[at].key != key && slots_[at].key != kNoKey) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void rehash(size_t count) {
    std::vector<Slot> old(std::bit_ceil(count));
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != kNoKey) slots_[place(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace pith::model
