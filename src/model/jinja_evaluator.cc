// Statements. Expressions are in jinja_evaluate.cc.
#include "jinja_evaluator.h"

#include "jinja_depth.h"

namespace pith::model::jinja {

Evaluator::Evaluator(const Program& program, Variables globals, const std::tm& now, uint64_t work)
    : program_(program), now_(now), work_(work) {
  scopes_.push_back(std::move(globals));
}

std::string Evaluator::run() { return written_by(program_.body); }

std::string Evaluator::written_by(const Block& block) {
  std::string text;
  std::string* const outer = std::exchange(output_, &text);
  execute(block);
  output_ = outer;
  return text;
}

void Evaluator::write(std::string_view text) {
  work_.spend(text.size());
  *output_ += text;
}

Evaluator::Flow Evaluator::execute(const Block& block) {
  for (const Statement& statement : block) {
    Flow flow = Flow::kNext;
    try {
      work_.spend(16);
      flow = execute(statement);
    } catch (const Trouble& t) {
      throw program_.source.error(statement.offset, t.kind, t.what());
    }
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const Statement& s) {
  const Deeper deeper(depth_);
  switch (s.kind) {
    case Statement::Kind::kData:
      write(s.text);
      break;
    case Statement::Kind::kPrint:
      write(to_text(evaluate(*s.value), work_));
      break;
    case Statement::Kind::kIf:
      return execute_if(s);
    case Statement::Kind::kFor:
      return execute_for(s);
    case Statement::Kind::kSet:
      execute_set(s);
      break;
    case Statement::Kind::kSetBlock:
      assign(s.targets, Value(written_by(s.body)));
      break;
    case Statement::Kind::kMacro:
      assign({s.macro->name}, Value(s.macro.get()));
      break;
    case Statement::Kind::kBlock:
      return execute(s.body);
    case Statement::Kind::kBreak:
      return Flow::kBreak;
    case Statement::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute_if(const Statement& s) {
  for (const Statement::Branch& branch : s.branches) {
    if (evaluate(*branch.condition).truth()) return execute(branch.body);
  }
  return execute(s.otherwise);
}

// What the loop goes over, its condition applied.
List Evaluator::loop_items(const Statement& s) {
  List items = to_list(evaluate(*s.value), work_);
  if (!s.condition) return items;
  List kept;
  scopes_.emplace_back();
  for (Value& item : items) {
    assign(s.targets, item);
    if (evaluate(*s.condition).truth()) kept.push_back(std::move(item));
  }
  scopes_.pop_back();
  return kept;
}

Evaluator::Flow Evaluator::execute_for(const Statement& s) {
  const List items = loop_items(s);
  if (items.empty()) return execute(s.otherwise);
  const auto count = static_cast<int64_t>(items.size());
  for (int64_t i = 0; i < count; ++i) {
    work_.spend(256);
    const auto at = static_cast<size_t>(i);
    scopes_.emplace_back();
    scopes_.back()["loop"] = Value::dict({
        {"index", Value(i + 1)},
        {"index0", Value(i)},
        {"revindex", Value(count - i)},
        {"revindex0", Value(count - i - 1)},
        {"first", Value(i == 0)},
        {"last", Value(i + 1 == count)},
        {"length", Value(count)},
        {"previtem", i > 0 ? items[at - 1] : Value(Undefined{"loop.previtem"})},
        {"nextitem", i + 1 < count ? items[at + 1] : Value(Undefined{"loop.nextitem"})},
    });
    assign(s.targets, items[at]);
    const Flow flow = execute(s.body);
    scopes_.pop_back();
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

void Evaluator::execute_set(const Statement& s) {
  Value value = evaluate(*s.value);
  if (s.text.empty()) return assign(s.targets, std::move(value));
  const Value owner = variable(s.targets[0]);
  Namespace* const space = owner.space();
  if (!space) trouble("`{}` is no namespace, its attributes cannot be set", s.targets[0]);
  (void)Value::list({value});  // refuses what would make a cycle
  work_.spend(16 + space->members.size());
  for (auto& member : space->members) {
    if (member.first != s.text) continue;
    member.second = std::move(value);
    return;
  }
  space->members.emplace_back(s.text, std::move(value));
}

void Evaluator::assign(const std::vector<std::string>& targets, Value value) {
  if (targets.size() == 1) {
    scopes_.back()[targets[0]] = std::move(value);
    return;
  }
  const List values = to_list(value, work_);
  if (values.size() != targets.size()) {
    trouble("{} values for {} variables", values.size(), targets.size());
  }
  for (size_t i = 0; i < targets.size(); ++i) scopes_.back()[targets[i]] = values[i];
}

}  // namespace pith::model::jinja
