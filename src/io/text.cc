#include "pith/io/text.h"

namespace pith::io {
namespace {

constexpr size_t kShown = 80;  // bytes of a name that a message repeats

bool continues(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

}  // namespace

size_t utf8_sequence(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  for (size_t k = 1; k < length; ++k) {
    if (!continues(text, at + k)) return 0;
  }
  const auto second = static_cast<uint8_t>(text[at + 1]);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool outside = (lead == 0xED && second > 0x9F) || (lead == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

std::string utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_sequence(text, at);
    out += length ? text.substr(at, length) : "\uFFFD";
    at += length ? length : 1;
  }
  return out;
}

std::string in_quotes(std::string_view text) {
  size_t end = text.size();
  if (end > kShown) {
    end = kShown;
    while (end > 0 && continues(text, end)) --end;
  }
  std::string out = utf8(text.substr(0, end));
  for (char& c : out) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return "'" + out + (end < text.size() ? "…'" : "'");
}

}  // namespace pith::io
