#include "jinja_filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja_text.h"

namespace pith::model::jinja {
namespace {

const std::string& wanted_text(const Value* value, std::string_view filter) {
  if (!value || !value->text()) trouble("the filter `{}` wants a string", filter);
  return *value->text();
}

int64_t length(const Value& value) {
  if (const auto* text = value.text()) return static_cast<int64_t>(character_count(*text));
  if (const auto* list = value.sequence()) return static_cast<int64_t>(list->items.size());
  if (const auto* dict = value.mapping()) return static_cast<int64_t>(dict->items.size());
  if (value.undefined()) return 0;
  trouble("{} has no length", value.type());
}

// Of a string; 0 where it is none.
template <class T>
T number_in(const Value& value) {
  T out = 0;
  if (const auto* text = value.text()) {
    const std::string digits = strip(*text, "", true, true);
    const auto end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, out);
    if (read.ec != std::errc() || read.ptr != end) out = 0;
  }
  return out;
}

Value to_integer(const Value& value) {
  if (value.integer()) return value;
  if (value.number()) {
    const double real = value.as_real();
    return std::abs(real) < 9e18 ? static_cast<int64_t>(real) : int64_t{0};
  }
  return number_in<int64_t>(value);
}

Value to_real(const Value& value) {
  if (value.number()) return value.as_real();
  return number_in<double>(value);
}

Value absolute(const Value& value) {
  if (const int64_t* i = value.integer()) {
    if (*i == INT64_MIN) trouble("an integer too large");
    return *i < 0 ? -*i : *i;
  }
  if (!value.number()) trouble("the filter `abs` wants a number");
  return std::abs(value.as_real());
}

Value join(const Value& subject, const Arguments& arguments, Work& work) {
  const Value* separator = arguments.get(0, "d");
  const Value* member = arguments.get(1, "attribute");
  const List items = to_list(subject, work);
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0 && separator) out += to_text(*separator, work);
    out +=
        to_text(member ? attribute(items[i], wanted_text(member, "join"), work) : items[i], work);
  }
  return out;
}

Value first_or_last(const Value& subject, bool first, Work& work) {
  const List items = to_list(subject, work);
  if (items.empty()) return Undefined{first ? "first" : "last"};
  return first ? items.front() : items.back();
}

Value items_of(const Value& subject) {
  List out;
  if (subject.undefined()) return Value::list({});
  if (!subject.mapping()) trouble("the filter `items` wants a mapping, got {}", subject.type());
  for (const auto& item : subject.mapping()->items) {
    out.push_back(Value::list({Value(item.first), item.second}, true));
  }
  return Value::list(std::move(out));
}

Value reversed(const Value& subject, Work& work) {
  List items = to_list(subject, work);
  std::reverse(items.begin(), items.end());
  if (!subject.text()) return Value::list(std::move(items));
  std::string out;
  for (const Value& c : items) out += *c.text();
  return out;
}

Value sorted(const Value& subject, const Arguments& arguments, Work& work) {
  List items = to_list(subject, work);
  const Value* backwards = arguments.get(0, "reverse");
  const int sign = backwards && backwards->truth() ? -1 : 1;
  for (const Value& item : items) compare(items.front(), item, work);  // all have one order
  std::stable_sort(items.begin(), items.end(),
                   [&](const Value& a, const Value& b) { return sign * compare(a, b, work) < 0; });
  return Value::list(std::move(items));
}

Value unique(const Value& subject, Work& work) {
  List out;
  for (const Value& item : to_list(subject, work)) {
    const bool seen = std::any_of(out.begin(), out.end(),
                                  [&](const Value& other) { return equal(item, other, work); });
    if (!seen) out.push_back(item);
  }
  return Value::list(std::move(out));
}

// map('upper') or map(attribute='role')
Value mapped(const Value& subject, const Arguments& arguments, Work& work) {
  List out;
  const Value* member = arguments.get(SIZE_MAX, "attribute");
  const Value* otherwise = arguments.get(SIZE_MAX, "default");
  for (const Value& item : to_list(subject, work)) {
    if (member) {
      Value value = attribute(item, wanted_text(member, "map"), work);
      out.push_back(value.undefined() && otherwise ? *otherwise : std::move(value));
    } else {
      const std::string& name = wanted_text(arguments.get(0, ""), "map");
      if (name == "map") trouble("`map` of `map` is not supported");
      out.push_back(apply_filter(name, item, {arguments.values.subspan(1), {}}, work));
    }
  }
  return Value::list(std::move(out));
}

// select, reject, selectattr and rejectattr.
Value selected(std::string_view filter, const Value& subject, std::span<const Value> arguments,
               Work& work) {
  const bool by_attribute = filter.ends_with("attr"), keeps = filter.starts_with("select");
  const std::string* member = nullptr;
  if (by_attribute) {
    member = &wanted_text(arguments.empty() ? nullptr : arguments.data(), filter);
    arguments = arguments.subspan(1);
  }
  List out;
  for (const Value& item : to_list(subject, work)) {
    const Value value = member ? attribute(item, *member, work) : item;
    const bool holds = arguments.empty() ? value.truth()
                                         : apply_test(wanted_text(arguments.data(), filter), value,
                                                      arguments.subspan(1), work);
    if (holds == keeps) out.push_back(item);
  }
  return Value::list(std::move(out));
}

Value indented(const std::string& text, const Arguments& arguments, Work& work) {
  const Value* width = arguments.get(0, "width");
  const Value* first = arguments.get(1, "first");
  const Value* blank = arguments.get(2, "blank");
  const int64_t n = !width ? 4 : width->integer() ? *width->integer() : -1;
  if (n < 0 || n > 1000) trouble("the filter `indent` wants a width");
  const std::string space(static_cast<size_t>(n), ' ');
  std::string out = first && first->truth() ? space : "";
  for (size_t i = 0; i < text.size(); ++i) {
    work.spend(1);
    out += text[i];
    const bool empty_line = i + 1 == text.size() || text[i + 1] == '\n';
    if (text[i] != '\n' || (empty_line && !(blank && blank->truth()))) continue;
    work.spend(space.size());
    out += space;
  }
  return out;
}

int64_t json_indent(const Arguments& arguments) {
  const Value* indent = arguments.get(0, "indent");
  if (!indent || indent->none()) return -1;
  if (!indent->integer() || *indent->integer() < 0) trouble("the filter `tojson` wants an indent");
  return *indent->integer();
}

Value text_filter(std::string_view name, const Value& subject, const Arguments& arguments,
                  Work& work) {
  const std::string text = to_text(subject, work);
  work.spend(text.size());
  if (name == "trim") {
    const Value* set = arguments.get(0, "chars");
    if (set && set->text()) work.spend_search(text.size(), set->text()->size());
    return strip(text, set && set->text() ? *set->text() : "", true, true);
  }
  if (name == "upper") return upper(text);
  if (name == "lower") return lower(text);
  if (name == "capitalize") return capitalize(text);
  if (name == "title") return title(text);
  if (name == "indent") return indented(text, arguments, work);
  if (name == "replace") {
    const Value* count = arguments.get(2, "count");
    return replace(text, wanted_text(arguments.get(0, "old"), name),
                   wanted_text(arguments.get(1, "new"), name),
                   count && count->integer() ? *count->integer() : -1, work);
  }
  trouble("the filter `{}` is not supported", name.substr(0, 40));
}

bool compared(std::string_view name, const Value& a, const Value& b, Work& work) {
  if (name == "eq" || name == "equalto") return equal(a, b, work);
  if (name == "ne") return !equal(a, b, work);
  if (name == "in") return contains(b, a, work);
  if (name == "lt" || name == "lessthan") return compare(a, b, work) < 0;
  if (name == "le") return compare(a, b, work) <= 0;
  if (name == "gt" || name == "greaterthan") return compare(a, b, work) > 0;
  if (name == "ge") return compare(a, b, work) >= 0;
  if (name == "divisibleby") {
    if (!a.integer() || !b.integer() || *b.integer() == 0) trouble("`divisibleby` wants integers");
    return *b.integer() == -1 || *a.integer() % *b.integer() == 0;
  }
  trouble("the test `{}` is not supported", name.substr(0, 40));
}

}  // namespace

const Value* Arguments::get(size_t place, std::string_view name) const {
  if (place < values.size()) return &values[place];
  for (const auto& argument : named) {
    if (argument.first == name) return &argument.second;
  }
  return nullptr;
}

Value attribute(const Value& value, std::string_view name, Work& work) {
  const Dict* members = value.mapping() ? &value.mapping()->items
                        : value.space() ? &value.space()->members
                                        : nullptr;
  if (members) {
    work.spend(1 + members->size());
    if (const Value* found = find(*members, name)) return *found;
  }
  return Undefined{std::string(name.substr(0, 40))};
}

bool contains(const Value& whole, const Value& part, Work& work) {
  if (const std::string* text = whole.text()) {
    if (!part.text()) trouble("`in` of a string wants a string, got {}", part.type());
    work.spend_search(text->size(), part.text()->size());
    return text->find(*part.text()) != std::string::npos;
  }
  if (const auto* dict = whole.mapping()) {
    work.spend(dict->items.size());
    return part.text() && find(dict->items, *part.text());
  }
  if (const auto* list = whole.sequence()) {
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& item) { return equal(item, part, work); });
  }
  if (whole.undefined()) return false;
  trouble("`in` wants a string, a list or a mapping, got {}", whole.type());
}

Value apply_filter(std::string_view name, const Value& subject, const Arguments& arguments,
                   Work& work) {
  work.spend(16);
  if (name == "length" || name == "count") {
    if (subject.text()) work.spend(subject.text()->size());
    return length(subject);
  }
  if (name == "default" || name == "d") {
    const Value* value = arguments.get(0, "default_value");
    const Value* also_false = arguments.get(1, "boolean");
    const bool missing =
        subject.undefined() || (also_false && also_false->truth() && !subject.truth());
    return !missing ? subject : value ? *value : Value(std::string());
  }
  if (name == "tojson") return to_json(subject, json_indent(arguments), work);
  if (name == "string") return to_text(subject, work);
  if (name == "safe") return subject;
  if (name == "list") return Value::list(to_list(subject, work));
  if (name == "first" || name == "last") return first_or_last(subject, name == "first", work);
  if (name == "join") return join(subject, arguments, work);
  if (name == "items") return items_of(subject);
  if (name == "reverse") return reversed(subject, work);
  if (name == "sort") return sorted(subject, arguments, work);
  if (name == "unique") return unique(subject, work);
  if (name == "map") return mapped(subject, arguments, work);
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") {
    return selected(name, subject, arguments.values, work);
  }
  if (name == "int") return to_integer(subject);
  if (name == "float") return to_real(subject);
  if (name == "abs") return absolute(subject);
  return text_filter(name, subject, arguments, work);
}

bool apply_test(std::string_view name, const Value& subject, std::span<const Value> arguments,
                Work& work) {
  work.spend(16);
  if (!arguments.empty()) return compared(name, subject, arguments[0], work);
  if (name == "defined") return !subject.undefined();
  if (name == "undefined") return subject.undefined();
  if (name == "none") return subject.none();
  if (name == "string") return subject.text() != nullptr;
  if (name == "mapping") return subject.mapping() != nullptr;
  if (name == "iterable" || name == "sequence") {
    return subject.text() || subject.sequence() || subject.mapping() ||
           (name == "iterable" && subject.undefined());
  }
  if (name == "number") return subject.number();
  if (name == "integer") return subject.integer() != nullptr;
  if (name == "float") return subject.real() != nullptr;
  if (name == "boolean") return subject.boolean() != nullptr;
  if (name == "true") return subject.boolean() && *subject.boolean();
  if (name == "false") return subject.boolean() && !*subject.boolean();
  if (name == "callable") return subject.macro() != nullptr;
  if (name == "even" || name == "odd") {
    if (!subject.integer()) trouble("the test `{}` wants an integer", name);
    return (*subject.integer() % 2 == 0) == (name == "even");
  }
  if (name == "lower" || name == "upper") {
    if (!subject.text()) trouble("the test `{}` wants a string", name);
    return *subject.text() == (name == "lower" ? lower(*subject.text()) : upper(*subject.text()));
  }
  trouble("the test `{}` is not supported", name.substr(0, 40));
}

}  // namespace pith::model::jinja
