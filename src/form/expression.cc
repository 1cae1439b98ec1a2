#include "pith/form/expression.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "lexer.h"
#include "number.h"
#include "utf8.h"

namespace pith::form {

struct Expression::Node {
  Kind kind;
  std::string name;
  std::vector<Argument> arguments;
  std::vector<Expression> operands;
  Place place;
  uint32_t depth = 1, nodes = 1;
};

namespace {

void check_name(const std::string& name, const Place& place) {
  if (!is_name(name)) {
    throw place.error(ErrorKind::kUsage,
                      "names are ASCII letters, digits and `_`, and begin with no digit");
  }
}

void check_keys(const std::vector<Argument>& arguments) {
  std::unordered_set<std::string_view> keys;
  for (const Argument& a : arguments) {
    if (a.key.empty()) {
      if (keys.empty()) continue;
      throw a.value.place().error(ErrorKind::kUsage,
                                  "arguments without a key stand before those with one");
    }
    check_name(a.key, a.value.place());
    if (!keys.insert(a.key).second) {
      throw a.value.place().error(ErrorKind::kUsage, fmt::format("`{}` is given twice", a.key));
    }
  }
}

void check_nodes(uint64_t nodes, const Place& place) {
  if (nodes > kMaxNodes) {
    throw place.error(ErrorKind::kLimit,
                      fmt::format("an expression has at most {} parts", kMaxNodes));
  }
}

double finite(double number, const Place& place) {
  if (!std::isfinite(number)) throw place.error(ErrorKind::kUsage, "numbers are finite");
  return number + 0.0;  // -0 is 0
}

Value::Data number_data(double number, const Place& place) {
  const Number normal = normalized(finite(number, place));
  if (const auto* integer = std::get_if<int64_t>(&normal)) return *integer;
  return number;
}

}  // namespace

// Counts before anything walks the nodes, so that every walk is bounded in depth and length.
Expression::Expression(Node&& node) {
  uint64_t nodes = 1 + uint64_t{node.arguments.size()};
  uint32_t depth = 0;
  const auto below = [&](const Expression& e) {
    nodes += e.nodes();
    depth = std::max(depth, e.depth());
  };
  for (const Expression& e : node.operands) below(e);
  for (const Argument& a : node.arguments) {
    if (const auto* e = a.value.get_if<Expression>()) below(*e);
  }
  if (depth >= kMaxDepth) {
    throw node.place.error(ErrorKind::kLimit, fmt::format("forms nest at most {} deep", kMaxDepth));
  }
  check_nodes(nodes, node.place);
  node.depth = depth + 1;
  node.nodes = static_cast<uint32_t>(nodes);
  node_ = std::make_shared<const Node>(std::move(node));
}

Expression Expression::call(std::string name) { return call(std::move(name), {}); }

Expression Expression::call(std::string name, std::vector<Argument> arguments, Place place) {
  check_name(name, place);
  check_keys(arguments);
  return Expression(Node{Kind::kCall, std::move(name), std::move(arguments), {}, std::move(place)});
}

Expression Expression::variable(std::string name, Place place) {
  check_name(name, place);
  return Expression(Node{Kind::kVariable, std::move(name), {}, {}, std::move(place)});
}

Expression Expression::flattened(Kind kind, std::vector<Expression> operands, Place place) {
  if (operands.empty()) throw place.error(ErrorKind::kUsage, "sums and products are not empty");
  if (operands.size() == 1) return operands.front();
  // Sums share their terms: many times a long one must not be spread out before it is counted.
  uint64_t size = 0;
  for (const Expression& e : operands) size += e.kind() == kind ? e.operands().size() : 1;
  check_nodes(size, place);
  std::vector<Expression> flat;
  flat.reserve(size);
  for (Expression& e : operands) {
    if (e.kind() == kind) {
      const auto inner = e.operands();
      flat.insert(flat.end(), inner.begin(), inner.end());
    } else {
      flat.push_back(std::move(e));
    }
  }
  return Expression(Node{kind, {}, {}, std::move(flat), std::move(place)});
}

Expression Expression::sum(std::vector<Expression> terms, Place place) {
  return flattened(Kind::kSum, std::move(terms), std::move(place));
}

Expression Expression::product(std::vector<Expression> factors, Place place) {
  return flattened(Kind::kProduct, std::move(factors), std::move(place));
}

Expression Expression::basis(const Expression& basis, const Expression& form, Place place) {
  return Expression(Node{Kind::kBasis, {}, {}, {basis, form}, std::move(place)});
}

Expression Expression::coder(const Expression& form, const Expression& coder, Place place) {
  if (!coder.is_call() && coder.kind() != Kind::kVariable) {
    throw(coder.place().known() ? coder.place() : place)
        .error(ErrorKind::kUsage, "a coder is a name, name(…) or $name");
  }
  return Expression(Node{Kind::kCoder, {}, {}, {form, coder}, std::move(place)});
}

Expression::Kind Expression::kind() const { return node_->kind; }
const std::string& Expression::name() const { return node_->name; }
std::span<const Argument> Expression::arguments() const { return node_->arguments; }
std::span<const Expression> Expression::operands() const { return node_->operands; }
uint32_t Expression::depth() const { return node_->depth; }
uint32_t Expression::nodes() const { return node_->nodes; }
const Place& Expression::place() const { return node_->place; }

const Value* Expression::argument(size_t position) const {
  // Those without a key stand first.
  const auto all = arguments();
  return position < all.size() && all[position].key.empty() ? &all[position].value : nullptr;
}

const Value* Expression::argument(std::string_view key) const {
  const auto at = std::ranges::find(arguments(), key, &Argument::key);
  return !key.empty() && at != arguments().end() ? &at->value : nullptr;
}

bool operator==(const Expression& a, const Expression& b) {
  const auto &x = *a.node_, &y = *b.node_;
  return &x == &y || (x.nodes == y.nodes && x.kind == y.kind && x.name == y.name &&
                      x.arguments == y.arguments && x.operands == y.operands);
}

int64_t Value::checked(bool fits, int64_t integer) {
  if (!fits) fail(ErrorKind::kUsage, "integers have 64 bits and a sign");
  return integer;
}

Value::Value(double number, Place place)
    : data_(number_data(number, place)), place_(std::move(place)) {}

Value::Value(Percent percent, Place place)
    : data_(Percent{finite(percent.percent, place)}), place_(std::move(place)) {}

Value::Value(Ratio ratio, Place place) : data_(ratio), place_(std::move(place)) {
  if (ratio.n < 1 || ratio.m < 1) {
    throw place_.error(ErrorKind::kUsage, "both numbers of a ratio n:m are at least 1");
  }
}

Value::Value(Range range, Place place) : data_(range), place_(std::move(place)) {
  if (range.end && *range.end < range.begin && (*range.end < 0) == (range.begin < 0)) {
    throw place_.error(ErrorKind::kUsage, "a range ends before it begins");
  }
}

Value::Value(std::string text, Place place) : data_(std::move(text)), place_(std::move(place)) {
  if (find_invalid_utf8(std::get<std::string>(data_)) != std::string::npos) {
    throw place_.error(ErrorKind::kUsage, "text is not well-formed UTF-8");
  }
}

Value::Value(Expression expression) : data_(std::move(expression)) {
  place_ = std::get<Expression>(data_).place();
}

Value Value::at(Place place) const {
  Value moved = *this;
  moved.place_ = std::move(place);
  return moved;
}

}  // namespace pith::form
