// Names of other files that a file gives.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace pith::io {

// The path, when it stays below the folder that it is relative to; no value for absolute paths,
// those that climb with "..", and those that mean something else on another system.
std::optional<std::filesystem::path> relative_path(std::string_view text);

}  // namespace pith::io
