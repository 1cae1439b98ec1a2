#include "memory_use.h"

#include <fstream>
#include <string>

namespace pith::command {

MemoryUse memory_use() {
  MemoryUse use;
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    uint64_t kilobytes = 0;
    if (key == "VmRSS:" && status >> kilobytes) use.resident = kilobytes * 1024;
    if (key == "VmHWM:" && status >> kilobytes) use.peak = kilobytes * 1024;
    status.ignore(1 << 20, '\n');
  }
  return use;
}

}  // namespace pith::command
