#include "pith/form/place.h"

#include <algorithm>
#include <vector>

#include "pith/io/text.h"

namespace pith::form {
namespace {

// Of a line that is longer, so many characters around the place are shown.
constexpr size_t kBefore = 48, kAfter = 24;
constexpr std::string_view kUnknown = "\uFFFD", kMore = "…";

// What a terminal shows one column wide for each character of the line; tabs and controls would
// move the caret from its place.
std::vector<std::string_view> characters(std::string_view line) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < line.size();) {
    const size_t length = io::utf8_sequence(line, at);
    const auto byte = static_cast<uint8_t>(line[at]);
    out.push_back(line[at] == '\t'                             ? " "
                  : length == 0 || byte < 0x20 || byte == 0x7F ? kUnknown
                                                               : line.substr(at, length));
    at += std::max<size_t>(length, 1);
  }
  return out;
}

std::string line_and_caret(const std::vector<std::string_view>& line, size_t column) {
  const size_t begin = column > kBefore ? column - kBefore : 0;
  const size_t end = std::min(line.size(), column + kAfter);
  std::string out = "\n  ";
  if (begin > 0) out += kMore;
  for (size_t i = begin; i < end; ++i) out += line[i];
  if (end < line.size()) out += kMore;
  out += "\n  ";
  out.append(column - begin + (begin > 0), ' ');
  return out + '^';
}

}  // namespace

size_t Place::line() const {
  if (!known()) return 0;
  const auto begin = text_->begin();
  return 1 +
         static_cast<size_t>(std::count(begin, begin + static_cast<std::ptrdiff_t>(offset_), '\n'));
}

size_t Place::column() const {
  if (!known()) return 0;
  const std::string_view line = line_text();
  const auto in_line = static_cast<size_t>(text_->data() + offset_ - line.data());
  return 1 + characters(line.substr(0, in_line)).size();
}

std::string_view Place::line_text() const {
  const std::string_view all = *text_;
  const size_t before = all.substr(0, offset_).rfind('\n');
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  const size_t end = std::min(all.find('\n', offset_), all.size());
  return all.substr(begin, end - begin);
}

Error Place::error(ErrorKind kind, std::string_view message) const {
  if (!known()) return {kind, std::string(message)};
  std::string_view shown = line_text();
  if (shown.ends_with('\r')) shown.remove_suffix(1);
  return {kind, fmt::format("line {}, column {}: {}{}", line(), column(), message,
                            line_and_caret(characters(shown), column() - 1))};
}

}  // namespace pith::form
