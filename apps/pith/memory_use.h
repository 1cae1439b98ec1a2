// Memory of this process.
#pragma once

#include <cstdint>

namespace pith::command {

struct MemoryUse {
  uint64_t resident = 0, peak = 0;  // bytes; 0 where the system does not tell
};
MemoryUse memory_use();

}  // namespace pith::command
