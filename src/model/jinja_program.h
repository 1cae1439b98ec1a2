// What a template says, parsed: expressions and statements as trees.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja_lexer.h"
#include "jinja_value.h"

namespace pith::model::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

struct Expr {
  enum class Kind : uint8_t {
    kLiteral,    // literal
    kName,       // name
    kList,       // parts
    kTuple,      // parts
    kDict,       // parts: key, value, key, value, …
    kAttribute,  // parts[0].name
    kIndex,      // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], the last three may be null
    kCall,       // parts[0](parts[1…], named)
    kFilter,     // parts[0] | name(parts[1…], named)
    kTest,       // parts[0] is name(parts[1…])
    kNot,        // parts[0]
    kNegate,     // parts[0]
    kBinary,     // parts[0] name parts[1]: + - * / // % ** ~
    kCompare,    // parts[0] name parts[1]: == != < <= > >= in "not in"; a chain is an `and`
    kAnd,        // parts
    kOr,         // parts
    kChoice,     // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind;
  size_t offset = 0;
  uint32_t height = 1;  // of the tree; bounded, so that walks over it may recurse
  std::string name = {};
  Value literal = {};
  std::vector<ExprPtr> parts = {};
  std::vector<std::pair<std::string, ExprPtr>> named = {};
};

struct Statement;
using Block = std::vector<Statement>;

struct Macro {
  std::string name;
  std::vector<std::pair<std::string, ExprPtr>> parameters;  // with default values, or null
  Block body;
};

struct Statement {
  enum class Kind : uint8_t {
    kData,      // text
    kPrint,     // value
    kIf,        // branches, otherwise
    kFor,       // targets in value if condition: body, else otherwise
    kSet,       // targets = value; with `text`: targets[0].text = value
    kSetBlock,  // targets[0] = what body writes
    kMacro,     // macro
    kBlock,     // body: a generation block
    kBreak,
    kContinue,
  };
  struct Branch {
    ExprPtr condition;
    Block body;
  };
  Kind kind;
  size_t offset = 0;
  std::string text = {};
  std::vector<std::string> targets = {};
  ExprPtr value = {}, condition = {};
  std::vector<Branch> branches = {};
  Block body = {}, otherwise = {};
  std::unique_ptr<const Macro> macro = {};
};

struct Program {
  Source source;
  Block body;
};

// Throws as ChatTemplate's constructor does.
Program parse(std::string_view source);

inline constexpr uint32_t kMaxHeight = 120;  // of expressions, and of statements within statements

}  // namespace pith::model::jinja
