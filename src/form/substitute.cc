#include <algorithm>
#include <set>

#include "pith/form/expression.h"

namespace pith::form {
namespace {

using Kind = Expression::Kind;

class Substitution {
 public:
  explicit Substitution(const Bindings& bindings) : bindings_(bindings) {}

  Expression expression(const Expression& e) const {
    switch (e.kind()) {
      case Kind::kVariable:
        return variable(e);
      case Kind::kCall:
        return e.is_name() ? e : Expression::call(e.name(), arguments(e), e.place());
      case Kind::kSum:
        return Expression::sum(operands(e), e.place());
      case Kind::kProduct:
        return Expression::product(operands(e), e.place());
      case Kind::kBasis: {
        const auto both = operands(e);
        return Expression::basis(both[0], both[1], e.place());
      }
      default: {
        const auto both = operands(e);
        return coder(e, both[0], both[1]);
      }
    }
  }

 private:
  const Value* bound(const Expression& e) const {
    const auto at = bindings_.find(e.name());
    return e.kind() == Kind::kVariable && at != bindings_.end() ? &at->second : nullptr;
  }

  Expression variable(const Expression& e) const {
    const Value* value = bound(e);
    if (!value) return e;
    if (const auto* form = value->get_if<Expression>()) return *form;
    throw e.place().error(
        ErrorKind::kUsage,
        fmt::format("${} stands for a form here, not for a number or text", e.name()));
  }

  // A coder bound to what is none is an error of this expression, not of the bound one.
  static Expression coder(const Expression& before, const Expression& form,
                          const Expression& coder) {
    const Expression& was = before.operands()[1];
    if (was.kind() == Kind::kVariable && !coder.is_call() && coder.kind() != Kind::kVariable) {
      throw was.place().error(
          ErrorKind::kUsage,
          fmt::format("${} stands for a coder here: a name or name(…)", was.name()));
    }
    return Expression::coder(form, coder, before.place());
  }

  std::vector<Expression> operands(const Expression& e) const {
    std::vector<Expression> out;
    out.reserve(e.operands().size());
    for (const Expression& o : e.operands()) out.push_back(expression(o));
    return out;
  }

  std::vector<Argument> arguments(const Expression& e) const {
    std::vector<Argument> out;
    out.reserve(e.arguments().size());
    for (const Argument& a : e.arguments()) out.push_back({a.key, value(a.value)});
    return out;
  }

  Value value(const Value& v) const {
    const auto* e = v.get_if<Expression>();
    if (!e) return v;
    const Value* instead = bound(*e);
    if (!instead) return expression(*e);
    // A value from a program has no place: errors show the variable's.
    return instead->place().known() ? *instead : instead->at(v.place());
  }

  const Bindings& bindings_;
};

void collect(const Expression& e, std::set<std::string>& names) {
  if (e.kind() == Kind::kVariable) names.insert(e.name());
  for (const Expression& o : e.operands()) collect(o, names);
  for (const Argument& a : e.arguments()) {
    if (const auto* inner = a.value.get_if<Expression>()) collect(*inner, names);
  }
}

}  // namespace

Expression substitute(const Expression& expression, const Bindings& bindings) {
  return Substitution(bindings).expression(expression);
}

std::vector<std::string> variables(const Expression& expression) {
  std::set<std::string> names;
  collect(expression, names);
  return {names.begin(), names.end()};
}

}  // namespace pith::form
