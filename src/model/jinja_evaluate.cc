// Expressions.
#include "jinja_arithmetic.h"
#include "jinja_depth.h"
#include "jinja_evaluator.h"
#include "jinja_text.h"

namespace pith::model::jinja {
namespace {

Value range(const Arguments& arguments, Work& work) {
  std::vector<int64_t> bounds;
  for (const Value& value : arguments.values) {
    if (!value.integer()) trouble("range() wants integers, got {}", value.type());
    bounds.push_back(*value.integer());
  }
  if (bounds.empty() || bounds.size() > 3) trouble("range() wants one to three integers");
  const int64_t start = bounds.size() > 1 ? bounds[0] : 0;
  const int64_t stop = bounds.size() > 1 ? bounds[1] : bounds[0];
  const int64_t step = bounds.size() > 2 ? bounds[2] : 1;
  if (step == 0) trouble("range() with step 0");
  List out;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    work.spend(48);
    out.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(out));
}

// namespace(…) and dict(…): a mapping, named arguments, or both.
Dict members(const Arguments& arguments, Work& work) {
  Dict out;
  if (!arguments.values.empty()) {
    if (!arguments.values[0].mapping())
      trouble("a mapping was wanted, got {}", arguments.values[0].type());
    out = arguments.values[0].mapping()->items;
  }
  for (const auto& [key, value] : arguments.named) {
    work.spend(64 + out.size());
    if (find(out, key)) trouble("`{}` is given twice", key);
    out.emplace_back(key, value);
  }
  return out;
}

Value formatted_time(const Arguments& arguments, const std::tm& now) {
  const Value* format = arguments.get(0, "format");
  if (!format || !format->text()) trouble("strftime_now() wants a format");
  if (format->text()->size() > 200) trouble("a format of {} bytes", format->text()->size());
  if (format->text()->empty()) return std::string();
  char text[4096];
  const size_t n = std::strftime(text, sizeof text, format->text()->c_str(), &now);
  return std::string(text, n);
}

const std::string& defined_or_trouble(const Value& value, const std::string& name) {
  if (const Undefined* missing = value.missing()) trouble("`{}` is undefined", missing->name);
  return name;
}

}  // namespace

// The innermost expression with a mistake gives the place of its message.
Value Evaluator::evaluate(const Expr& expr) {
  try {
    const Deeper deeper(depth_);
    work_.spend(16);
    return compute(expr);
  } catch (const Trouble& t) {
    throw program_.source.error(expr.offset, t.kind, t.what());
  }
}

Value Evaluator::compute(const Expr& expr) {
  const auto part = [&](size_t i) {
    return expr.parts[i] ? evaluate(*expr.parts[i]) : Value(Undefined{""});
  };
  switch (expr.kind) {
    case Expr::Kind::kLiteral:
      return expr.literal;
    case Expr::Kind::kName:
      return variable(expr.name);
    case Expr::Kind::kList:
    case Expr::Kind::kTuple:
    case Expr::Kind::kDict:
      return literal_collection(expr);
    case Expr::Kind::kAttribute:
      return attribute_of(expr);
    case Expr::Kind::kIndex: {
      const Value owner = part(0);
      return element(owner, part(1), work_);
    }
    case Expr::Kind::kSlice: {
      const Value owner = part(0), start = part(1), stop = part(2);
      return slice(owner, start, stop, part(3), work_);
    }
    case Expr::Kind::kCall:
      return call(expr);
    case Expr::Kind::kFilter:
    case Expr::Kind::kTest: {
      const Value subject = part(0);
      std::vector<Value> values;
      for (size_t i = 1; i < expr.parts.size(); ++i) values.push_back(part(i));
      if (expr.kind == Expr::Kind::kTest) return apply_test(expr.name, subject, values, work_);
      Dict named;
      for (const auto& argument : expr.named) {
        named.emplace_back(argument.first, evaluate(*argument.second));
      }
      return apply_filter(expr.name, subject, {values, named}, work_);
    }
    case Expr::Kind::kNot:
      return !part(0).truth();
    case Expr::Kind::kNegate:
      return negated(part(0));
    case Expr::Kind::kBinary: {
      const Value a = part(0);
      return arithmetic(expr.name, a, part(1), work_);
    }
    case Expr::Kind::kCompare: {
      const Value a = part(0);
      return compare_with(expr.name, a, part(1));
    }
    case Expr::Kind::kAnd:
    case Expr::Kind::kOr: {
      Value value;
      for (size_t i = 0; i < expr.parts.size(); ++i) {
        value = part(i);
        if (value.truth() == (expr.kind == Expr::Kind::kOr)) break;
      }
      return value;
    }
    case Expr::Kind::kChoice:
      return part(1).truth() ? part(0) : part(2);
  }
  return {};
}

Value Evaluator::literal_collection(const Expr& expr) {
  List items;
  for (const ExprPtr& part : expr.parts) items.push_back(evaluate(*part));
  if (expr.kind != Expr::Kind::kDict) {
    return Value::list(std::move(items), expr.kind == Expr::Kind::kTuple);
  }
  Dict dict;
  for (size_t i = 0; i < items.size(); i += 2) {
    if (!items[i].text()) trouble("keys of mappings are strings, got {}", items[i].type());
    work_.spend(64 + dict.size());
    if (find(dict, *items[i].text())) trouble("a mapping names `{}` twice", *items[i].text());
    dict.emplace_back(*items[i].text(), std::move(items[i + 1]));
  }
  return Value::dict(std::move(dict));
}

Value Evaluator::attribute_of(const Expr& expr) {
  const Value owner = evaluate(*expr.parts[0]);
  return attribute(owner, defined_or_trouble(owner, expr.name), work_);
}

bool Evaluator::compare_with(std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return equal(a, b, work_);
  if (op == "!=") return !equal(a, b, work_);
  if (op == "in") return contains(b, a, work_);
  if (op == "not in") return !contains(b, a, work_);
  const int order = compare(a, b, work_);
  return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
}

Value Evaluator::variable(const std::string& name) const {
  for (size_t i = scopes_.size(); i-- > 0;) {
    const auto found = scopes_[i].find(name);
    if (found != scopes_[i].end()) return found->second;
  }
  return Undefined{name.substr(0, 40)};
}

Value Evaluator::call(const Expr& expr) {
  const Expr& callee = *expr.parts[0];
  if (callee.kind == Expr::Kind::kAttribute) return call_method(callee, expr);
  std::vector<Value> values;
  for (size_t i = 1; i < expr.parts.size(); ++i) values.push_back(evaluate(*expr.parts[i]));
  Dict named;
  for (const auto& argument : expr.named) {
    named.emplace_back(argument.first, evaluate(*argument.second));
  }
  const Arguments arguments{values, named};
  const Value target = evaluate(callee);
  if (target.macro()) return call_macro(*target.macro(), arguments);
  if (callee.kind == Expr::Kind::kName && target.undefined()) {
    bool known = true;
    Value result = call_function(callee.name, arguments, known);
    if (known) return result;
    trouble("there is no function `{}`", callee.name.substr(0, 40));
  }
  trouble("{} cannot be called", target.type());
}

Value Evaluator::call_method(const Expr& callee, const Expr& expr) {
  const Value subject = evaluate(*callee.parts[0]);
  defined_or_trouble(subject, callee.name);
  if (!expr.named.empty()) trouble("named arguments of methods are not supported");
  std::vector<Value> values;
  for (size_t i = 1; i < expr.parts.size(); ++i) values.push_back(evaluate(*expr.parts[i]));
  if (subject.text()) return call_text_method(*subject.text(), callee.name, values, work_);
  if (subject.mapping()) return call_dict_method(subject, callee.name, values);
  trouble("{} has no method `{}` here", subject.type(), callee.name.substr(0, 40));
}

Value Evaluator::call_dict_method(const Value& subject, std::string_view name,
                                  std::span<const Value> values) {
  work_.spend(64 * subject.mapping()->items.size());
  if (name == "items") return apply_filter("items", subject, {}, work_);
  if (name == "keys") return Value::list(to_list(subject, work_));
  if (name == "values") {
    List out;
    for (const auto& item : subject.mapping()->items) out.push_back(item.second);
    return Value::list(std::move(out));
  }
  if (name == "get") {
    if (values.empty() || !values[0].text()) trouble("get() wants a string");
    const Value found = attribute(subject, *values[0].text(), work_);
    return !found.undefined() ? found : values.size() > 1 ? values[1] : Value();
  }
  trouble("mappings have no method `{}` here", name.substr(0, 40));
}

// A macro sees the template's outermost variables and its own arguments.
Value Evaluator::call_macro(const Macro& macro, const Arguments& arguments) {
  if (arguments.values.size() > macro.parameters.size()) {
    trouble("the macro `{}` takes {} arguments", macro.name, macro.parameters.size());
  }
  Variables own;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const auto& [name, otherwise] = macro.parameters[i];
    const Value* given = arguments.get(i, name);
    own[name] = given ? *given : otherwise ? evaluate(*otherwise) : Value(Undefined{name});
  }
  // The outermost variables stay in place; the scopes between are put aside.
  std::vector<Variables> aside(std::make_move_iterator(scopes_.begin() + 1),
                               std::make_move_iterator(scopes_.end()));
  scopes_.resize(1);
  scopes_.push_back(std::move(own));
  std::string text = written_by(macro.body);
  scopes_.resize(1);
  scopes_.insert(scopes_.end(), std::make_move_iterator(aside.begin()),
                 std::make_move_iterator(aside.end()));
  return text;
}

Value Evaluator::call_function(std::string_view name, const Arguments& arguments, bool& known) {
  if (name == "range") return range(arguments, work_);
  if (name == "dict") return Value::dict(members(arguments, work_));
  if (name == "namespace") {
    Dict dict = members(arguments, work_);
    (void)Value::dict(dict);  // refuses what would make a cycle
    return std::make_shared<Namespace>(Namespace{std::move(dict)});
  }
  if (name == "strftime_now") return formatted_time(arguments, now_);
  if (name == "raise_exception") {
    const Value* message = arguments.get(0, "message");
    throw Error(ErrorKind::kUsage,
                fmt::format("the model's chat template refuses the conversation: {}",
                            message ? to_text(*message, work_) : "no reason is given"));
  }
  known = false;
  return {};
}

}  // namespace pith::model::jinja
