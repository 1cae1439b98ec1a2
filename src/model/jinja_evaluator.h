// Runs a parsed template.
#pragma once

#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "jinja_filters.h"
#include "jinja_program.h"

namespace pith::model::jinja {

using Variables = std::map<std::string, Value, std::less<>>;

class Evaluator {
 public:
  // `work`: what the template may do, in about bytes looked at or written.
  Evaluator(const Program& program, Variables globals, const std::tm& now, uint64_t work);

  std::string run();

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };
  class Deeper;

  Flow execute(const Block& block);
  Flow execute(const Statement& statement);
  Flow execute_if(const Statement& statement);
  Flow execute_for(const Statement& statement);
  void execute_set(const Statement& statement);
  void assign(const std::vector<std::string>& targets, Value value);
  List loop_items(const Statement& statement);
  std::string written_by(const Block& block);

  Value evaluate(const Expr& expr);
  Value compute(const Expr& expr);
  Value literal_collection(const Expr& expr);
  Value attribute_of(const Expr& expr);
  Value call(const Expr& expr);
  Value call_method(const Expr& callee, const Expr& expr);
  Value call_dict_method(const Value& subject, std::string_view name,
                         std::span<const Value> values);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  Value call_function(std::string_view name, const Arguments& arguments, bool& known);
  bool compare_with(std::string_view op, const Value& a, const Value& b);
  Value variable(const std::string& name) const;
  void write(std::string_view text);

  const Program& program_;
  std::tm now_;
  Work work_;
  uint32_t depth_ = 0;
  std::string* output_ = nullptr;
  std::vector<Variables> scopes_;  // the innermost last
};

}  // namespace pith::model::jinja
