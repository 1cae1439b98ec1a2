#include "jinja_text.h"

#include <algorithm>

#include "pith/io/text.h"

namespace pith::model::jinja {
namespace {

constexpr std::string_view kSpace = " \t\n\r\v\f";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

const std::string& text_argument(std::string_view method, std::span<const Value> arguments,
                                 size_t i) {
  if (i >= arguments.size() || !arguments[i].text()) {
    trouble("{}() wants a string as argument {}", method, i + 1);
  }
  return *arguments[i].text();
}

int64_t integer_argument(std::string_view method, std::span<const Value> arguments, size_t i,
                         int64_t otherwise) {
  if (i >= arguments.size()) return otherwise;
  if (!arguments[i].integer()) trouble("{}() wants an integer as argument {}", method, i + 1);
  return *arguments[i].integer();
}

// Splits at white space, without empty parts; the rest after `most` splits stays whole.
List split_at_space(std::string_view text, int64_t most) {
  List parts;
  size_t at = text.find_first_not_of(kSpace);
  while (at != text.npos) {
    const size_t end =
        most == static_cast<int64_t>(parts.size()) ? text.npos : text.find_first_of(kSpace, at);
    parts.emplace_back(std::string(text.substr(at, end - at)));
    if (end == text.npos) break;
    at = text.find_first_not_of(kSpace, end);
  }
  return parts;
}

List split_at(std::string_view text, std::string_view separator, int64_t most) {
  if (separator.empty()) trouble("split() wants a separator that is not empty");
  List parts;
  while (most != static_cast<int64_t>(parts.size())) {
    const size_t end = text.find(separator);
    if (end == text.npos) break;
    parts.emplace_back(std::string(text.substr(0, end)));
    text.remove_prefix(end + separator.size());
  }
  parts.emplace_back(std::string(text));
  return parts;
}

List split_from_right(std::string_view text, std::string_view separator, int64_t most) {
  if (separator.empty()) trouble("rsplit() wants a separator that is not empty");
  List parts;
  while (most != static_cast<int64_t>(parts.size())) {
    const size_t end = text.rfind(separator);
    if (end == text.npos) break;
    parts.emplace_back(std::string(text.substr(end + separator.size())));
    text = text.substr(0, end);
  }
  parts.emplace_back(std::string(text));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

List split_lines(std::string_view text) {
  List lines;
  while (!text.empty()) {
    const size_t end = text.find_first_of("\r\n");
    lines.emplace_back(std::string(text.substr(0, end)));
    if (end == text.npos) break;
    text.remove_prefix(text.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
  return lines;
}

// The argument of startswith and endswith is a string or a tuple of them.
template <class Matches>
bool any_affix(std::string_view method, std::span<const Value> arguments, const Matches& matches) {
  if (!arguments.empty() && arguments[0].sequence()) {
    const List& items = arguments[0].sequence()->items;
    for (size_t i = 0; i < items.size(); ++i) {
      if (matches(text_argument(method, items, i))) return true;
    }
    return false;
  }
  return matches(text_argument(method, arguments, 0));
}

Value split(const std::string& text, std::string_view name, std::span<const Value> arguments) {
  const int64_t most = integer_argument(name, arguments, 1, -1);
  const bool at_space = arguments.empty() || arguments[0].none();
  if (name == "rsplit") {
    return Value::list(split_from_right(text, text_argument(name, arguments, 0), most));
  }
  return Value::list(at_space ? split_at_space(text, most)
                              : split_at(text, text_argument(name, arguments, 0), most));
}

std::string join(std::string_view separator, const Value& items, Work& work) {
  std::string out;
  const List list = to_list(items, work);
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].text()) trouble("join() wants strings, got {}", list[i].type());
    work.spend(separator.size() + list[i].text()->size());
    if (i > 0) out += separator;
    out += *list[i].text();
  }
  return out;
}

int64_t find_text(std::string_view text, std::string_view part) {
  const size_t at = text.find(part);
  return at == text.npos ? -1 : static_cast<int64_t>(character_count(text.substr(0, at)));
}

int64_t count_text(std::string_view text, std::string_view part) {
  if (part.empty()) return static_cast<int64_t>(character_count(text)) + 1;
  int64_t n = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

}  // namespace

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < text.size();) {
    out.push_back(text.substr(at, std::max<size_t>(io::utf8_sequence(text, at), 1)));
    at += out.back().size();
  }
  return out;
}

size_t character_count(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); ++n) {
    at += std::max<size_t>(io::utf8_sequence(text, at), 1);
  }
  return n;
}

std::string strip(std::string_view text, std::string_view set, bool left, bool right) {
  if (set.empty()) set = kSpace;
  if (left) text.remove_prefix(std::min(text.find_first_not_of(set), text.size()));
  if (right) text = text.substr(0, text.find_last_not_of(set) + 1);
  return std::string(text);
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_upper);
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_lower);
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out = lower(text);
  if (!out.empty()) out[0] = to_upper(out[0]);
  return out;
}

std::string title(std::string_view text) {
  std::string out = lower(text);
  for (size_t i = 0; i < out.size(); ++i) {
    if (i == 0 || !is_letter(out[i - 1])) out[i] = to_upper(out[i]);
  }
  return out;
}

std::string replace(std::string_view text, std::string_view old, std::string_view replacement,
                    int64_t count, Work& work) {
  if (old.empty()) trouble("replace() wants something to replace");
  work.spend_search(text.size(), old.size());
  std::string out;
  for (; count != 0; --count) {
    const size_t at = text.find(old);
    if (at == text.npos) break;
    work.spend(at + replacement.size() + 1);
    out += text.substr(0, at);
    out += replacement;
    text.remove_prefix(at + old.size());
  }
  work.spend(text.size());
  return out += text;
}

Value call_text_method(const std::string& text, std::string_view name,
                       std::span<const Value> arguments, Work& work) {
  work.spend(16 + text.size());
  if (!arguments.empty() && arguments[0].text()) {
    work.spend_search(text.size(), arguments[0].text()->size());
  }
  const auto argument = [&](size_t i) -> const std::string& {
    return text_argument(name, arguments, i);
  };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const bool given = !arguments.empty() && !arguments[0].none();
    return strip(text, given ? std::string_view(argument(0)) : "", name[0] != 'r', name[0] != 'l');
  }
  if (name == "startswith") {
    return any_affix(name, arguments, [&](std::string_view s) { return text.starts_with(s); });
  }
  if (name == "endswith") {
    return any_affix(name, arguments, [&](std::string_view s) { return text.ends_with(s); });
  }
  if (name == "removeprefix") {
    return text.starts_with(argument(0)) ? text.substr(argument(0).size()) : text;
  }
  if (name == "removesuffix") {
    return text.ends_with(argument(0)) ? text.substr(0, text.size() - argument(0).size()) : text;
  }
  if (name == "split" || name == "rsplit") {
    work.spend(48 * text.size());  // each part is a value
    return split(text, name, arguments);
  }
  if (name == "splitlines") {
    work.spend(48 * text.size());
    return Value::list(split_lines(text));
  }
  if (name == "replace") {
    return replace(text, argument(0), argument(1), integer_argument(name, arguments, 2, -1), work);
  }
  if (name == "join") {
    if (arguments.empty()) trouble("join() wants a list");
    return join(text, arguments[0], work);
  }
  if (name == "upper") return upper(text);
  if (name == "lower") return lower(text);
  if (name == "title") return title(text);
  if (name == "capitalize") return capitalize(text);
  if (name == "find") return find_text(text, argument(0));
  if (name == "count") return count_text(text, argument(0));
  if (name == "isdigit") {
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  }
  if (name == "isspace") return !text.empty() && text.find_first_not_of(kSpace) == text.npos;
  trouble("strings have no method `{}` here", name);
}

}  // namespace pith::model::jinja
