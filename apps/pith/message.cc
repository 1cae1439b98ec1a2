#include "message.h"

#include <algorithm>
#include <cstdio>

namespace pith::command {

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

void print_error(std::string_view text) {
  std::string out = "pith: error: ";
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find("\n  ", at), text.size());
    out += printable(text.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  std::fwrite(out.data(), 1, out.size(), stderr);
}
void print_warning(std::string_view text) { print_note(fmt::format("pith: warning: {}", text)); }

void print_note(std::string_view text) {
  const std::string line = printable(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace pith::command
