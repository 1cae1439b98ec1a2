// The notation of forms: one expression language for recipes, the command line, archives and
// Python.
//
//   gear     = uniform(2) + lowrank(4) + sparse(2%)
//   quest    = hadamard | uniform(4, grid=gaussian)
//   cachegen = delta(token) | uniform(layerwise) > rans
//
// `*` binds tightest, then `|` (from the right), then `+`, then `>` (from the left). The grammar
// is in docs/forms.md. This part knows no form by name: what `uniform` is and takes is for others
// to say, who read its arguments through `Arguments` (arguments.h).
//
//   const Expression gear = parse("uniform(2) + lowrank(4) + sparse(2%)");
//   for (const Expression& term : gear.operands()) … term.name(), Arguments(term, {"bits"}) …
//   to_string(gear) == "uniform(2) + lowrank(4) + sparse(2%)"
//
// Everything here is immutable and cheap to copy. Errors: ErrorKind::kUsage for what does not
// follow the notation, kLimit for what exceeds the limits below.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pith/form/place.h"

namespace pith::form {

constexpr size_t kMaxText = 64 << 10;  // bytes, read or written
constexpr uint32_t kMaxDepth = 64;     // of nesting, in the text and of nodes
constexpr uint32_t kMaxNodes = 16384;  // nodes and arguments of one expression

struct Argument;
class Value;

// A node and what is below it. Equal are expressions of the same structure, wherever they stood.
class Expression {
 public:
  enum class Kind : uint8_t {
    kCall,      // name, name(arguments)
    kVariable,  // $name
    kSum,       // a + b + …: residuals, at least two terms, none of them a sum
    kProduct,   // a * b * …: factors, at least two, none of them a product
    kBasis,     // basis | form
    kCoder,     // form > coder; the coder is a call or a variable
  };

  // What parse() makes, for programs. Names begin with an ASCII letter or `_`, then also digits;
  // keyed arguments follow those without a key, and no key comes twice.
  static Expression call(std::string name);
  static Expression call(std::string name, std::vector<Argument> arguments, Place place = {});
  static Expression variable(std::string name, Place place = {});
  // Sums among the terms give their terms; one term alone is itself. The same for products.
  static Expression sum(std::vector<Expression> terms, Place place = {});
  static Expression product(std::vector<Expression> factors, Place place = {});
  static Expression basis(const Expression& basis, const Expression& form, Place place = {});
  static Expression coder(const Expression& form, const Expression& coder, Place place = {});

  Kind kind() const;
  bool is_call() const { return kind() == Kind::kCall; }
  // A call without arguments, as `gaussian` in grid=gaussian.
  bool is_name() const { return is_call() && arguments().empty(); }

  const std::string& name() const;              // of a call or a variable, else empty
  std::span<const Argument> arguments() const;  // of a call, as written
  // The argument at this place among those without a key, or with this key; nullptr if none.
  const Value* argument(size_t position) const;
  const Value* argument(std::string_view key) const;
  // Terms, factors, {basis, form} or {form, coder}; empty for calls and variables.
  std::span<const Expression> operands() const;

  uint32_t depth() const;  // 1 for a call without expressions in its arguments
  uint32_t nodes() const;
  // The name of a call or variable, else the operator (the first one of a sum or product).
  const Place& place() const;

  friend bool operator==(const Expression& a, const Expression& b);

 private:
  struct Node;
  explicit Expression(Node&& node);
  static Expression flattened(Kind kind, std::vector<Expression> operands, Place place);

  std::shared_ptr<const Node> node_;
};

struct Percent {
  double percent = 0;  // 2% is 2
  bool operator==(const Percent&) const = default;
};

// n:m, both at least 1.
struct Ratio {
  int64_t n = 1, m = 1;
  bool operator==(const Ratio&) const = default;
};

// begin..end, or begin.. to the end. What negative bounds mean is for the form to say (the notation
// only asks that begin <= end when both have the same sign).
struct Range {
  int64_t begin = 0;
  std::optional<int64_t> end;
  bool operator==(const Range&) const = default;
};

// The value of an argument. A name is a call without arguments, so `gaussian` is an Expression.
class Value {
 public:
  // A double is never an integer of 64 bits (4.0 and 1e3 are integers), nor infinite or NaN.
  using Data = std::variant<int64_t, double, Percent, Ratio, Range, std::string, Expression>;

  template <std::integral T>
  requires(!std::same_as<T, bool>) Value(T integer, Place place = {})
      : data_(checked(std::in_range<int64_t>(integer), static_cast<int64_t>(integer))),
        place_(std::move(place)) {}
  Value(double number, Place place = {});
  Value(Percent percent, Place place = {});
  Value(Ratio ratio, Place place = {});
  Value(Range range, Place place = {});
  Value(std::string text, Place place = {});  // well-formed UTF-8
  Value(const char* text) : Value(std::string(text)) {}
  Value(Expression expression);

  const Data& data() const { return data_; }
  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&data_);
  }
  const Place& place() const { return place_; }
  Value at(Place place) const;  // the same value at another place

  friend bool operator==(const Value& a, const Value& b) { return a.data_ == b.data_; }

 private:
  static int64_t checked(bool fits, int64_t integer);

  Data data_;
  Place place_;
};

struct Argument {
  std::string key;  // empty: by position
  Value value;
  bool operator==(const Argument&) const = default;
};

// Reads the whole text as one expression.
Expression parse(std::string_view text);

// name = expression
struct Definition {
  std::string name;
  Expression expression;
  Place place;  // of the name
};
Definition parse_definition(std::string_view text);
// Any number of them, one after the other, each name once.
std::vector<Definition> parse_definitions(std::string_view text);

// The one way to write it: parse(to_string(e)) == e, and equal expressions give the same text.
// Throws kLimit where that would be longer than kMaxText.
std::string to_string(const Expression& expression);
std::string to_string(const Value& value);

// The expression with each variable that is bound replaced; what stands in for it is not searched
// again. A variable that is an argument may be bound to any value, one that is an operand only to
// an expression.
using Bindings = std::map<std::string, Value, std::less<>>;
Expression substitute(const Expression& expression, const Bindings& bindings);
// The names of the variables, each once, in the order of the alphabet.
std::vector<std::string> variables(const Expression& expression);

}  // namespace pith::form
