// The last few decoded blocks, for readers that take a tensor row by row; and which chunks were
// found whole lately, so that each row does not hash its chunk again.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "pith/base/bytes.h"

namespace pith::archive {

class BlockCache {
 public:
  using Block = std::shared_ptr<const Bytes>;

  // Blocks are known by their place in the archive.
  Block find(uint64_t at) {
    std::lock_guard lock(mutex_);
    for (auto it = blocks_.begin(); it != blocks_.end(); ++it) {
      if (it->first != at) continue;
      blocks_.splice(blocks_.begin(), blocks_, it);
      return blocks_.front().second;
    }
    return nullptr;
  }

  void insert(uint64_t at, Block block) {
    std::lock_guard lock(mutex_);
    held_ += block->size();
    blocks_.emplace_front(at, std::move(block));
    while (blocks_.size() > 1 && (held_ > kMaxHeld || blocks_.size() > kMaxBlocks)) {
      held_ -= blocks_.back().second->size();
      blocks_.pop_back();
    }
  }

  bool checked(uint64_t chunk_at) {
    std::lock_guard lock(mutex_);
    for (const uint64_t at : checked_) {
      if (at == chunk_at) return true;
    }
    return false;
  }

  void set_checked(uint64_t chunk_at) {
    std::lock_guard lock(mutex_);
    checked_[next_++ % checked_.size()] = chunk_at;
  }

 private:
  static constexpr uint64_t kMaxHeld = uint64_t{64} << 20;
  static constexpr size_t kMaxBlocks = 32;

  std::mutex mutex_;
  std::list<std::pair<uint64_t, Block>> blocks_;  // most recent first
  uint64_t held_ = 0;
  std::array<uint64_t, 32> checked_{};  // 0: none; no chunk stands there
  size_t next_ = 0;
};

}  // namespace pith::archive
