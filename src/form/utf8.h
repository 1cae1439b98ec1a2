// UTF-8: the text of expressions is checked to be well-formed before anything else looks at it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pith::form {

// Offset of the first byte that is not of a well-formed sequence; npos if there is none.
size_t find_invalid_utf8(std::string_view text);

// `code` is a code point and no surrogate.
void append_utf8(uint32_t code, std::string& out);

}  // namespace pith::form
