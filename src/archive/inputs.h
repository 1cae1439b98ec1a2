// Files as a user names them, and where each comes from.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/io/layout.h"

namespace pith::archive {

struct FoundFile {
  std::string path;  // in the archive
  std::filesystem::path disk;
  bool directory = false;
  uint32_t mode = 0644;
  std::optional<io::Layout> layout;  // given by the file that this one belongs to
};

std::vector<FoundFile> find_inputs(std::span<const std::filesystem::path> paths);

}  // namespace pith::archive
