// What is claimed of caches, as pairs that can be measured: of two that hold as much, which loses
// less.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace pith::recipe {

enum class Task : uint8_t {
  kContinuation,  // divergence of a text's continuation from that with a full cache
  kCopy,          // loss of a passage that comes again
  kRecall,        // planted facts that are told when asked for
};

struct CacheClaim {
  std::string_view recipe;  // whose row says so
  std::string_view says;    // "loses less than …"
  // Which holds more of what is asked for: a name, or an expression in which the path of a profile
  // may be what `pith kv profile` is told to make it.
  std::string_view cache;
  std::string_view than;  // the other
  Task task = Task::kContinuation;
  bool as_composed = false;  // of caches that read a part of what they hold: at equal bytes read
};

// By recipe.
std::span<const CacheClaim> all_cache_claims();

}  // namespace pith::recipe
