// What variables of a chat template hold: Python's values, as far as templates use them.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pith/base/error.h"

namespace pith::model::jinja {

class Value;
struct Macro;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of insertion

// A mistake found where the place in the source is not known; the evaluator adds it.
struct Trouble : std::runtime_error {
  Trouble(ErrorKind k, const std::string& message) : std::runtime_error(message), kind(k) {}
  ErrorKind kind;
};

template <class... Args>
[[noreturn]] void trouble(fmt::format_string<Args...> format, Args&&... args) {
  throw Trouble(ErrorKind::kData, fmt::format(format, std::forward<Args>(args)...));
}

// Bounds what a template may do, in time and in memory: about a unit for each byte written or
// looked at.
class Work {
 public:
  explicit Work(uint64_t units) : left_(units) {}
  void spend(uint64_t units) {
    if (units > left_) throw Trouble(ErrorKind::kLimit, "the template does too much work");
    left_ -= units;
  }
  // Looking for a string inside another compares all of it at many places at worst.
  void spend_search(size_t text, size_t part) { spend(text + text / 64 * part); }

 private:
  uint64_t left_;
};

struct Undefined {
  std::string name;  // for messages
};
struct Namespace {
  Dict members;
};

// Values are immutable but for namespaces, and hold no namespaces: there are no cycles.
class Value {
 public:
  struct Sequence {
    List items;
    uint32_t depth;
    bool tuple;
  };
  struct Mapping {
    Dict items;
    uint32_t depth;
  };
  static constexpr uint32_t kMaxDepth = 64;

  Value() : data_(nullptr) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::shared_ptr<Namespace> space) : data_(std::move(space)) {}
  Value(const Macro* macro) : data_(macro) {}
  Value(const void*) = delete;  // and not a bool
  // Throw Trouble for what is nested too deep or holds a namespace.
  static Value list(List items, bool tuple = false);
  static Value dict(Dict items);

  bool undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool none() const { return std::holds_alternative<std::nullptr_t>(data_); }
  const Undefined* missing() const { return std::get_if<Undefined>(&data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  const std::string* text() const;
  const Sequence* sequence() const;
  const Mapping* mapping() const;
  Namespace* space() const;
  const Macro* macro() const;
  bool number() const { return integer() || real() || boolean(); }
  double as_real() const;  // of a number

  bool truth() const;
  std::string_view type() const;  // "a string", "a list"

 private:
  std::variant<std::nullptr_t, Undefined, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Mapping>,
               std::shared_ptr<Namespace>, const Macro*>
      data_;
};

const Value* find(const Dict& dict, std::string_view key);

bool equal(const Value& a, const Value& b, Work& work);
// < 0, 0, > 0; Trouble where the two have no order.
int compare(const Value& a, const Value& b, Work& work);

// As print() and repr() of Python write it.
std::string to_text(const Value& value, Work& work);
std::string to_repr(const Value& value, Work& work);
// json.dumps(value, ensure_ascii=False, indent=indent); indent < 0: on one line.
std::string to_json(const Value& value, int64_t indent, Work& work);

// What a loop or the filter `list` goes over: elements, characters, keys. Trouble for others.
List to_list(const Value& value, Work& work);

}  // namespace pith::model::jinja
