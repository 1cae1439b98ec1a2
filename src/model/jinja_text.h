// Python's methods of strings.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jinja_value.h"

namespace pith::model::jinja {

// Code points; a byte that is not UTF-8 is a character of its own.
std::vector<std::string_view> characters(std::string_view text);
size_t character_count(std::string_view text);

// Takes away what is in `set` (empty: white space) at the ends.
std::string strip(std::string_view text, std::string_view set, bool left, bool right);
std::string upper(std::string_view text);  // ASCII letters only
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);
// Of a count < 0: all.
std::string replace(std::string_view text, std::string_view old, std::string_view replacement,
                    int64_t count, Work& work);

// text.NAME(arguments); Trouble where there is no such method, or it takes other arguments.
Value call_text_method(const std::string& text, std::string_view name,
                       std::span<const Value> arguments, Work& work);

}  // namespace pith::model::jinja
