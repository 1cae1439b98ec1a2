// What the command says to people: one line each, on standard error.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

namespace pith::command {

// "pith: error: TEXT"; control characters of TEXT become spaces, and line breaks too unless two
// spaces follow: so begin the lines that show the place of an error in an expression.
void print_error(std::string_view text);
void print_warning(std::string_view text);

// Control characters (of names in untrusted files) made harmless for a terminal.
std::string printable(std::string_view text);

// One line of information.
void print_note(std::string_view text);

template <class... Args>
void note(fmt::format_string<Args...> format, Args&&... args) {
  print_note(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace pith::command
