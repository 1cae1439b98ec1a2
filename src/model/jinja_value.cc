#include "jinja_value.h"

#include <algorithm>
#include <cmath>

#include "jinja_text.h"

namespace pith::model::jinja {
namespace {

// Of a value inside another.
uint32_t depth_of(const Value& value) {
  if (value.space()) trouble("a namespace cannot be part of another value");
  if (const auto* list = value.sequence()) return list->depth;
  if (const auto* dict = value.mapping()) return dict->depth;
  return 0;
}

uint32_t one_deeper(uint32_t depth) {
  if (depth >= Value::kMaxDepth) {
    throw Trouble(ErrorKind::kLimit, fmt::format("values nest at most {} deep", Value::kMaxDepth));
  }
  return depth + 1;
}

template <class T>
int order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

bool equal_lists(const List& a, const List& b, Work& work) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i], work)) return false;
  }
  return true;
}

bool equal_dicts(const Dict& a, const Dict& b, Work& work) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a) {
    work.spend(b.size());
    const Value* other = find(b, key);
    if (!other || !equal(value, *other, work)) return false;
  }
  return true;
}

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string quoted_json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string quoted_python(std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\\')
      out += "\\\\";
    else if (c == quote)
      out += {'\\', c};
    else
      out += c;
  }
  return out + quote;
}

// Writes nested values; `json` decides how leaves and commas look.
class Writer {
 public:
  Writer(bool json, int64_t indent, Work& work) : json_(json), indent_(indent), work_(work) {}

  void write(const Value& value, int64_t level) {
    if (const auto* list = value.sequence()) {
      write_list(*list, level);
    } else if (const auto* dict = value.mapping()) {
      write_dict(dict->items, level);
    } else {
      append(leaf(value));
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void write_list(const Value::Sequence& list, int64_t level) {
    const bool round = list.tuple && !json_;
    append(round ? "(" : "[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      separate(i, level + 1);
      write(list.items[i], level + 1);
    }
    if (round && list.items.size() == 1) append(",");
    if (!list.items.empty()) new_line(level);
    append(round ? ")" : "]");
  }
  void write_dict(const Dict& dict, int64_t level) {
    append("{");
    for (size_t i = 0; i < dict.size(); ++i) {
      separate(i, level + 1);
      append(json_ ? quoted_json(dict[i].first) : quoted_python(dict[i].first));
      append(": ");
      write(dict[i].second, level + 1);
    }
    if (!dict.empty()) new_line(level);
    append("}");
  }
  void separate(size_t i, int64_t level) {
    if (i > 0) append(indent_ < 0 ? ", " : ",");
    new_line(level);
  }
  void new_line(int64_t level) {
    if (indent_ < 0) return;
    append("\n");
    append(std::string(static_cast<size_t>(level * indent_), ' '));
  }
  std::string leaf(const Value& value) const {
    if (const auto* text = value.text()) return json_ ? quoted_json(*text) : quoted_python(*text);
    if (const auto* flag = value.boolean()) {
      return json_ ? (*flag ? "true" : "false") : (*flag ? "True" : "False");
    }
    if (const auto* integer = value.integer()) return fmt::format("{}", *integer);
    if (const auto* real = value.real()) return real_text(*real);
    if (value.none()) return json_ ? "null" : "None";
    if (json_) trouble("{} cannot be written as JSON", value.type());
    return value.undefined() ? "Undefined" : fmt::format("<{}>", value.type());
  }
  void append(std::string_view text) {
    work_.spend(text.size() + 1);
    out_ += text;
  }

  bool json_;
  int64_t indent_;
  Work& work_;
  std::string out_;
};

}  // namespace

Value Value::list(List items, bool tuple) {
  uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  Value value;
  value.data_ =
      std::make_shared<const Sequence>(Sequence{std::move(items), one_deeper(depth), tuple});
  return value;
}

Value Value::dict(Dict items) {
  uint32_t depth = 0;
  for (const auto& item : items) depth = std::max(depth, depth_of(item.second));
  Value value;
  value.data_ = std::make_shared<const Mapping>(Mapping{std::move(items), one_deeper(depth)});
  return value;
}

const std::string* Value::text() const {
  const auto* p = std::get_if<std::shared_ptr<const std::string>>(&data_);
  return p ? p->get() : nullptr;
}
const Value::Sequence* Value::sequence() const {
  const auto* p = std::get_if<std::shared_ptr<const Sequence>>(&data_);
  return p ? p->get() : nullptr;
}
const Value::Mapping* Value::mapping() const {
  const auto* p = std::get_if<std::shared_ptr<const Mapping>>(&data_);
  return p ? p->get() : nullptr;
}
Namespace* Value::space() const {
  const auto* p = std::get_if<std::shared_ptr<Namespace>>(&data_);
  return p ? p->get() : nullptr;
}
const Macro* Value::macro() const {
  const auto* p = std::get_if<const Macro*>(&data_);
  return p ? *p : nullptr;
}

double Value::as_real() const {
  if (const auto* r = real()) return *r;
  if (const auto* i = integer()) return static_cast<double>(*i);
  return boolean() && *boolean() ? 1 : 0;
}

bool Value::truth() const {
  if (number()) return as_real() != 0;
  if (const auto* s = text()) return !s->empty();
  if (const auto* list = sequence()) return !list->items.empty();
  if (const auto* dict = mapping()) return !dict->items.empty();
  return space() || macro();
}

std::string_view Value::type() const {
  if (undefined()) return "undefined";
  if (none()) return "none";
  if (boolean()) return "a boolean";
  if (integer()) return "an integer";
  if (real()) return "a number";
  if (text()) return "a string";
  if (sequence()) return sequence()->tuple ? "a tuple" : "a list";
  if (mapping()) return "a mapping";
  return space() ? "a namespace" : "a macro";
}

const Value* find(const Dict& dict, std::string_view key) {
  for (const auto& item : dict) {
    if (item.first == key) return &item.second;
  }
  return nullptr;
}

bool equal(const Value& a, const Value& b, Work& work) {
  work.spend(1);
  if (a.integer() && b.integer()) return *a.integer() == *b.integer();
  if (a.number() && b.number()) return a.as_real() == b.as_real();
  if (a.text() && b.text()) {
    work.spend(std::min(a.text()->size(), b.text()->size()));
    return *a.text() == *b.text();
  }
  if (a.sequence() && b.sequence()) {
    return a.sequence()->tuple == b.sequence()->tuple &&
           equal_lists(a.sequence()->items, b.sequence()->items, work);
  }
  if (a.mapping() && b.mapping()) return equal_dicts(a.mapping()->items, b.mapping()->items, work);
  if (a.space() || b.space()) return a.space() == b.space();
  if (a.macro() || b.macro()) return a.macro() == b.macro();
  return (a.none() && b.none()) || (a.undefined() && b.undefined());
}

int compare(const Value& a, const Value& b, Work& work) {
  work.spend(1);
  if (a.integer() && b.integer()) return order(*a.integer(), *b.integer());
  if (a.number() && b.number()) return order(a.as_real(), b.as_real());
  if (a.text() && b.text()) {
    work.spend(std::min(a.text()->size(), b.text()->size()));
    return order(*a.text(), *b.text());
  }
  trouble("{} and {} have no order", a.type(), b.type());
}

std::string to_text(const Value& value, Work& work) {
  if (value.undefined()) return "";
  if (const std::string* text = value.text()) {
    work.spend(text->size());
    return *text;
  }
  return to_repr(value, work);
}

std::string to_repr(const Value& value, Work& work) {
  Writer writer(false, -1, work);
  writer.write(value, 0);
  return writer.take();
}

std::string to_json(const Value& value, int64_t indent, Work& work) {
  if (indent > 32) trouble("an indent of {}", indent);
  Writer writer(true, indent, work);
  writer.write(value, 0);
  return writer.take();
}

List to_list(const Value& value, Work& work) {
  List out;
  if (const auto* list = value.sequence()) {
    work.spend(16 * list->items.size());
    out = list->items;
  } else if (const auto* dict = value.mapping()) {
    for (const auto& item : dict->items) {
      work.spend(16 + item.first.size());
      out.emplace_back(item.first);
    }
  } else if (const auto* text = value.text()) {
    work.spend(64 * text->size());
    for (const std::string_view c : characters(*text)) out.emplace_back(std::string(c));
  } else if (!value.undefined()) {
    trouble("{} cannot be iterated", value.type());
  }
  return out;
}

}  // namespace pith::model::jinja
