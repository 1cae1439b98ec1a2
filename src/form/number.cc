#include "number.h"

#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

namespace pith::form {
namespace {

constexpr double kIntegers = 0x1p63;  // the first that is no integer of 64 bits

template <class T>
bool read_exactly(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [used, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && used == end;
}

}  // namespace

Number normalized(double number) {
  // Every double from -2^63 to below 2^63 without a fraction converts exactly.
  if (number >= -kIntegers && number < kIntegers && std::trunc(number) == number) {
    return static_cast<int64_t>(number);
  }
  return number;
}

Number read_number(std::string_view text, const Place& place) {
  if (text.find_first_of(".eE") == std::string_view::npos) {
    int64_t integer = 0;
    if (read_exactly(text, integer)) return integer;
    throw place.error(ErrorKind::kUsage,
                      "integers have 64 bits; write a larger number with an exponent, as 1e20");
  }
  double number = 0;
  if (read_exactly(text, number)) return normalized(number);
  throw place.error(ErrorKind::kUsage,
                    "numbers go from 4.9e-324 to 1.8e308 in size, and this is outside");
}

void append_number(int64_t integer, std::string& out) {
  std::array<char, 24> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), integer);
  out.append(text.data(), end);
}

void append_number(double number, std::string& out) {
  const Number normal = normalized(number);
  if (const auto* integer = std::get_if<int64_t>(&normal)) return append_number(*integer, out);
  std::array<char, 32> text;
  char* const last = text.data() + text.size();
  // Digits alone would be read as an integer.
  const auto [end, error] =
      std::abs(number) >= kIntegers
          ? std::to_chars(text.data(), last, number, std::chars_format::scientific)
          : std::to_chars(text.data(), last, number);
  std::string_view digits(text.data(), static_cast<size_t>(end - text.data()));
  const size_t e = digits.find('e');
  out += digits.substr(0, e);
  if (e == std::string_view::npos) return;
  // to_chars writes e+20 and e-07 as C does.
  out += digits[e + 1] == '-' ? "e-" : "e";
  digits.remove_prefix(e + 2);
  out += digits.substr(digits.find_first_not_of('0'));
}

}  // namespace pith::form
