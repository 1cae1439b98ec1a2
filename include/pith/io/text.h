// Text from untrusted files, made fit to be shown.
#pragma once

#include <string>
#include <string_view>

#include "pith/base/bytes.h"

namespace pith::io {

// Length of the well-formed UTF-8 sequence that begins at `at` (Unicode, table 3-7); 0 if there is
// none. `at` lies within the text.
size_t utf8_sequence(std::string_view text, size_t at);

// The text itself when it is valid UTF-8, else with U+FFFD in place of every byte that is not.
std::string utf8(std::string_view text);

// In quotes, without control characters, cut to a length that fits a one-line message.
std::string in_quotes(std::string_view text);

inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace pith::io
