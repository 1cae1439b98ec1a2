// How much memory a model may take: what Linux says of the machine and of the control group.
#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

#include "pith/model/language_model.h"

namespace pith::model {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  const size_t begin = text.find_first_of("0123456789");
  if (begin == std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  const auto [end, wrong] = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  if (wrong != std::errc()) return std::nullopt;
  return value;
}

std::optional<uint64_t> of_machine() {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("MemAvailable:")) continue;
    const auto kib = number(line);
    if (kib) return *kib * 1024;
  }
  return std::nullopt;
}

std::optional<uint64_t> of_group() {
  std::ifstream in("/sys/fs/cgroup/memory.max");
  std::string line;
  return std::getline(in, line) ? number(line) : std::nullopt;
}

}  // namespace

std::optional<uint64_t> available_memory() {
  // Pages of files that are mapped count as available, since they can be dropped.
  const auto machine = of_machine(), group = of_group();
  if (machine && group) return std::min(*machine, *group);
  return machine ? machine : group;
}

}  // namespace pith::model
