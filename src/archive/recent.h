// What was read from an archive lately, so that a reader that takes a tensor row by row does not
// decode, open or hash the same thing again for each row. All of it is known by its place in the
// archive; threads may share it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace pith::archive {

// The last few values.
template <class T>
class RecentValues {
 public:
  using Entry = std::shared_ptr<const T>;

  // At most so many, of so many bytes together; the last one stays, however large.
  explicit RecentValues(size_t most, uint64_t most_bytes = UINT64_MAX)
      : most_(most), most_bytes_(most_bytes) {}

  // Null: it is none of them.
  Entry find(uint64_t at) {
    std::lock_guard lock(mutex_);
    for (auto it = values_.begin(); it != values_.end(); ++it) {
      if (it->at != at) continue;
      values_.splice(values_.begin(), values_, it);
      return values_.front().entry;
    }
    return nullptr;
  }

  void insert(uint64_t at, Entry entry, uint64_t bytes = 0) {
    std::lock_guard lock(mutex_);
    held_ += bytes;
    values_.push_front({at, bytes, std::move(entry)});
    while (values_.size() > 1 && (held_ > most_bytes_ || values_.size() > most_)) {
      held_ -= values_.back().bytes;
      values_.pop_back();
    }
  }

 private:
  struct Value {
    uint64_t at, bytes;
    Entry entry;
  };

  const size_t most_;
  const uint64_t most_bytes_;
  std::mutex mutex_;
  std::list<Value> values_;  // most recent first
  uint64_t held_ = 0;
};

// The last few places themselves: of chunks that were found whole.
class RecentPlaces {
 public:
  bool has(uint64_t at) {
    std::lock_guard lock(mutex_);
    return std::ranges::find(places_, at) != places_.end();
  }
  void insert(uint64_t at) {
    std::lock_guard lock(mutex_);
    places_[next_++ % places_.size()] = at;
  }

 private:
  std::mutex mutex_;
  std::array<uint64_t, 32> places_{};  // 0: none; nothing but the header stands there
  size_t next_ = 0;
};

}  // namespace pith::archive
