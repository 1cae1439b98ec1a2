// The last few forms that were read from, so that each row of a tensor does not open its form
// again.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "form_chunk.h"

namespace pith::archive {

class FormCache {
 public:
  using Entry = std::shared_ptr<const FormElements>;

  // Forms are known by the place of their frame in the archive.
  Entry find(uint64_t at) {
    std::lock_guard lock(mutex_);
    for (auto it = forms_.begin(); it != forms_.end(); ++it) {
      if (it->first != at) continue;
      forms_.splice(forms_.begin(), forms_, it);
      return forms_.front().second;
    }
    return nullptr;
  }

  void insert(uint64_t at, Entry form) {
    std::lock_guard lock(mutex_);
    forms_.emplace_front(at, std::move(form));
    if (forms_.size() > kMost) forms_.pop_back();
  }

 private:
  static constexpr size_t kMost = 8;

  std::mutex mutex_;
  std::list<std::pair<uint64_t, Entry>> forms_;  // most recent first
};

}  // namespace pith::archive
