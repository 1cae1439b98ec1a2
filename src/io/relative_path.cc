#include "relative_path.h"

#include <algorithm>

namespace pith::io {

std::optional<std::filesystem::path> relative_path(std::string_view text) {
  constexpr size_t kLongest = 4096;
  constexpr std::string_view kForeign("\\:\0", 3);  // Windows' separators, and a hidden end
  if (text.empty() || text.size() > kLongest || text.find_first_of(kForeign) != text.npos) {
    return std::nullopt;
  }
  const std::filesystem::path path(text);
  if (path.is_absolute() || std::ranges::find(path, "..") != path.end()) return std::nullopt;
  std::filesystem::path normal = path.lexically_normal();
  if (!normal.has_filename() || normal == ".") return std::nullopt;
  return normal;
}

}  // namespace pith::io
