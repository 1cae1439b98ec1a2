#include "pith/model/model_folder.h"

#include <algorithm>

#include "pith/base/file.h"

namespace pith::model {

bool ModelFolder::has(std::string_view name) const {
  return std::ranges::binary_search(files(), name);
}

std::vector<std::string> DiskFolder::files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (!entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::optional<Bytes> DiskFolder::read(std::string_view name, uint64_t max_bytes) const {
  if (!std::filesystem::exists(path_ / name)) return std::nullopt;
  return read_file(path_ / name, max_bytes);
}

}  // namespace pith::model
