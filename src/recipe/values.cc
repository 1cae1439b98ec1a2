#include "values.h"

#include <charconv>

#include "pith/base/error.h"

namespace pith::recipe {

uint64_t number(const Values& values, std::string_view key, uint64_t least, uint64_t most) {
  const std::string& text = values.find(key)->second;
  uint64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < least || v > most) {
    fail(ErrorKind::kUsage, "{} must be a number from {} to {}, not '{}'", key, least, most, text);
  }
  return v;
}

std::vector<std::string_view> list(const Values& values, std::string_view key) {
  const std::string_view text = values.find(key)->second;
  std::vector<std::string_view> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('+', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace pith::recipe
