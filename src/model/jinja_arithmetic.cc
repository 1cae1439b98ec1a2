#include "jinja_arithmetic.h"

#include <algorithm>
#include <cmath>

#include "jinja_filters.h"
#include "jinja_text.h"

namespace pith::model::jinja {
namespace {

[[noreturn]] void overflow() { trouble("an integer too large"); }

std::optional<int64_t> whole(const Value& value) {
  if (value.integer()) return *value.integer();
  if (value.boolean()) return *value.boolean() ? 1 : 0;
  return std::nullopt;
}

Value floor_division(int64_t a, int64_t b, bool remainder) {
  if (b == 0) trouble("division by zero");
  if (b == -1) {  // the one quotient that can overflow
    if (remainder) return int64_t{0};
    if (a == INT64_MIN) overflow();
    return -a;
  }
  const bool round_down = a % b != 0 && (a < 0) != (b < 0);
  if (remainder) return a % b + (round_down ? b : 0);
  return a / b - (round_down ? 1 : 0);
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  if (base == 0 || base == 1) return exponent == 0 ? int64_t{1} : base;
  if (base == -1) return exponent % 2 == 0 ? int64_t{1} : int64_t{-1};
  int64_t out = 1;
  for (int64_t i = 0; i < exponent; ++i) {  // at most 63 rounds: |base| >= 2
    if (__builtin_mul_overflow(out, base, &out)) overflow();
  }
  return out;
}

Value integers(std::string_view op, int64_t a, int64_t b) {
  int64_t out = 0;
  if (op == "+") return __builtin_add_overflow(a, b, &out) ? overflow(), Value() : Value(out);
  if (op == "-") return __builtin_sub_overflow(a, b, &out) ? overflow(), Value() : Value(out);
  if (op == "*") return __builtin_mul_overflow(a, b, &out) ? overflow(), Value() : Value(out);
  if (op == "//") return floor_division(a, b, false);
  if (op == "%") return floor_division(a, b, true);
  if (op == "**") return integer_power(a, b);
  if (b == 0) trouble("division by zero");
  return static_cast<double>(a) / static_cast<double>(b);
}

Value reals(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) trouble("division by zero");
  if (op == "/") return a / b;
  const double floored = std::floor(a / b);
  return op == "//" ? floored : a - floored * b;
}

Value repeated(const Value& value, int64_t count, Work& work) {
  const uint64_t times = count < 0 ? 0 : static_cast<uint64_t>(count);
  const auto* text = value.text();
  const uint64_t size = text ? text->size() : 32 * value.sequence()->items.size();
  if (size > 0 && times > UINT64_MAX / size) work.spend(UINT64_MAX);
  work.spend(size * times);
  if (size == 0) return value;
  if (text) {
    std::string out;
    for (uint64_t i = 0; i < times; ++i) out += *text;
    return out;
  }
  List out;
  const List& items = value.sequence()->items;
  for (uint64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  return Value::list(std::move(out), value.sequence()->tuple);
}

// Python's rule for bounds that lie outside or count from the end.
int64_t bound(const Value& value, int64_t otherwise, int64_t least, int64_t most, int64_t size) {
  if (value.undefined() || value.none()) return otherwise;
  if (!value.integer()) trouble("a slice wants integers, got {}", value.type());
  const int64_t i = *value.integer();
  return std::clamp(i < 0 ? std::max(i, -size - 1) + size : i, least, most);
}

}  // namespace

Value arithmetic(std::string_view op, const Value& a, const Value& b, Work& work) {
  if (op == "~") return to_text(a, work) + to_text(b, work);
  const auto x = whole(a), y = whole(b);
  if (x && y) return integers(op, *x, *y);
  if (a.number() && b.number()) return reals(op, a.as_real(), b.as_real());
  if (op == "+" && a.text() && b.text()) return to_text(a, work) + to_text(b, work);
  if (op == "+" && a.sequence() && b.sequence()) {
    List all = to_list(a, work);
    const List more = to_list(b, work);
    all.insert(all.end(), more.begin(), more.end());
    return Value::list(std::move(all), a.sequence()->tuple);
  }
  if (op == "*" && (a.text() || a.sequence()) && y) return repeated(a, *y, work);
  if (op == "*" && (b.text() || b.sequence()) && x) return repeated(b, *x, work);
  for (const Value* side : {&a, &b}) {
    if (side->undefined()) trouble("`{}` is undefined", side->missing()->name);
  }
  trouble("`{}` of {} and {}", op, a.type(), b.type());
}

Value negated(const Value& value) {
  if (const auto x = whole(value)) {
    if (*x == INT64_MIN) overflow();
    return -*x;
  }
  if (!value.real()) trouble("`-` of {}", value.type());
  return -*value.real();
}

Value element(const Value& value, const Value& index, Work& work) {
  if (value.undefined()) trouble("`{}` is undefined", value.missing()->name);
  if (value.mapping() || value.space()) {
    return index.text() ? attribute(value, *index.text(), work) : Value(Undefined{"key"});
  }
  if (!index.integer() || (!value.sequence() && !value.text())) return Undefined{"element"};
  int64_t i = *index.integer();
  if (const auto* list = value.sequence()) {
    const auto size = static_cast<int64_t>(list->items.size());
    i = i < 0 ? i + size : i;
    if (i < 0 || i >= size) return Undefined{"element"};
    return list->items[static_cast<size_t>(i)];
  }
  work.spend(value.text()->size());
  const auto all = characters(*value.text());
  const auto size = static_cast<int64_t>(all.size());
  i = i < 0 ? i + size : i;
  if (i < 0 || i >= size) return Undefined{"element"};
  return std::string(all[static_cast<size_t>(i)]);
}

Value slice(const Value& value, const Value& start, const Value& stop, const Value& step,
            Work& work) {
  if (value.undefined()) trouble("`{}` is undefined", value.missing()->name);
  if (!value.text() && !value.sequence()) trouble("a slice of {}", value.type());
  std::vector<std::string_view> letters;
  if (value.text()) {
    work.spend(16 * value.text()->size());
    letters = characters(*value.text());
  }
  const auto size =
      static_cast<int64_t>(value.text() ? letters.size() : value.sequence()->items.size());
  const bool has_step = !step.undefined() && !step.none();
  if (has_step && (!step.integer() || *step.integer() == 0)) trouble("a slice with this step");
  const int64_t by = has_step ? std::clamp(*step.integer(), -size - 1, size + 1) : 1;
  const bool forward = by > 0;
  const int64_t least = forward ? 0 : -1, most = forward ? size : size - 1;
  const int64_t first = bound(start, forward ? least : most, least, most, size);
  const int64_t last = bound(stop, forward ? most : least, least, most, size);
  std::string text;
  List items;
  for (int64_t i = first; forward ? i < last : i > last; i += by) {
    work.spend(16);
    if (value.text()) {
      text += letters[static_cast<size_t>(i)];
    } else {
      items.push_back(value.sequence()->items[static_cast<size_t>(i)]);
    }
  }
  if (value.text()) return text;
  return Value::list(std::move(items), value.sequence()->tuple);
}

}  // namespace pith::model::jinja
