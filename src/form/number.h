// Numbers as text, the same under every locale.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "pith/form/place.h"

namespace pith::form {

using Number = std::variant<int64_t, double>;

// The number as an integer if it is one of 64 bits, so that 4, 4.0 and 0.4e1 are one value.
// `number` is finite.
Number normalized(double number);

// `text` is [-]digits[.digits][e[±]digits]. Throws kUsage, at the place, when it is out of range.
Number read_number(std::string_view text, const Place& place);

// The shortest text that reads back as the same number.
void append_number(int64_t integer, std::string& out);
void append_number(double number, std::string& out);

}  // namespace pith::form
