#include "values.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "pith/base/error.h"

namespace pith::recipe {

namespace {

template <class Number>
Number parsed(const Values& values, std::string_view key, Number least, Number most) {
  const std::string& text = values.find(key)->second;
  Number v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || !(v >= least && v <= most)) {
    fail(ErrorKind::kUsage, "{} must be a number from {} to {}, not '{}'", key, least, most, text);
  }
  return v;
}

}  // namespace

uint64_t number(const Values& values, std::string_view key, uint64_t least, uint64_t most) {
  return parsed<uint64_t>(values, key, least, most);
}

double real(const Values& values, std::string_view key, double least, double most) {
  return parsed<double>(values, key, least, most);
}

double share(std::string_view key, std::string_view text, double most) {
  if (!text.ends_with('%'))
    fail(ErrorKind::kUsage, "{} must be a share as 50%, not '{}'", key, text);
  const std::string percent(text.substr(0, text.size() - 1));
  return real({{std::string(key), percent}}, key, 0, 100 * most) / 100;
}

std::string_view word(const Values& values, std::string_view key,
                      std::initializer_list<std::string_view> words) {
  const auto found = std::ranges::find(words, values.find(key)->second);
  if (found == words.end()) {
    fail(ErrorKind::kUsage, "{} must be one of {}, not '{}'", key, fmt::join(words, ", "),
         values.find(key)->second);
  }
  return *found;
}

std::function<void(form::Shape)> rows_of(uint64_t elements, std::string_view what) {
  return [elements, what = std::string(what)](form::Shape shape) {
    if (shape.cols % elements == 0) return;
    fail(ErrorKind::kUsage, "{} of {} do not divide rows of {}", what, elements, shape.cols);
  };
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
