// The parser of statements.
#include "jinja_expressions.h"

namespace pith::model::jinja {
namespace {

using Kind = Statement::Kind;

class Parser : ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block program() {
    Block body = block({});
    if (token().kind != TokenKind::kEnd) {
      source_.bad(token_after().offset, fmt::format("`{}` ends nothing", token_after().text));
    }
    return body;
  }

 private:
  // Statements up to a tag with one of these words, or the end.
  Block block(std::initializer_list<std::string_view> ends) {
    const Nested nested(*this);
    Block out;
    while (true) {
      const Token& t = token();
      if (t.kind == TokenKind::kEnd) {
        if (ends.size() > 0) unexpected(fmt::format("`{{% {} %}}`", *(ends.end() - 1)));
        return out;
      }
      if (t.kind == TokenKind::kBlockBegin) {
        const Token& word = token_after();
        for (const std::string_view end : ends) {
          if (word.name(end)) return out;
        }
        if (word.kind == TokenKind::kName &&
            (word.text.starts_with("end") || word.text == "else" || word.text == "elif")) {
          if (ends.size() == 0) return out;
          source_.bad(word.offset,
                      fmt::format("`{}` where `{}` is open", word.text, *(ends.end() - 1)));
        }
      }
      statement(out);
    }
  }

  void statement(Block& out) {
    Statement s{.kind = Kind::kData, .offset = token().offset};
    if (token().kind == TokenKind::kData) {
      s.text = advance().text;
    } else if (token().kind == TokenKind::kPrintBegin) {
      advance();
      s.kind = Kind::kPrint;
      s.value = tuple();
      if (token().kind != TokenKind::kPrintEnd) unexpected("`}}`");
      advance();
    } else {
      advance();
      tag(s);
    }
    out.push_back(std::move(s));
  }

  void tag(Statement& s) {
    const std::string word = name("a statement");
    if (word == "if") {
      if_statement(s);
    } else if (word == "for") {
      for_statement(s);
    } else if (word == "set") {
      set_statement(s);
    } else if (word == "macro") {
      macro_statement(s);
    } else if (word == "generation") {
      s.kind = Kind::kBlock;
      end_tag();
      s.body = block({"endgeneration"});
      closing();
    } else if (word == "break" || word == "continue") {
      if (loops_ == 0) source_.bad(s.offset, fmt::format("`{}` outside of a loop", word));
      s.kind = word == "break" ? Kind::kBreak : Kind::kContinue;
      end_tag();
    } else {
      source_.bad(s.offset, fmt::format("the statement `{}` is not supported", word.substr(0, 40)));
    }
  }

  void end_tag() {
    if (token().kind != TokenKind::kBlockEnd) unexpected("`%}`");
    advance();
  }
  // {% endX %}
  void closing() {
    advance();
    advance();
    end_tag();
  }

  void if_statement(Statement& s) {
    s.kind = Kind::kIf;
    do {
      ExprPtr condition = tuple();
      end_tag();
      s.branches.push_back({std::move(condition), block({"elif", "else", "endif"})});
      advance();
    } while (accept_name("elif"));
    if (accept_name("else")) {
      end_tag();
      s.otherwise = block({"endif"});
      advance();
    }
    advance();
    end_tag();
  }

  std::vector<std::string> targets() {
    const bool parenthesis = accept("(");
    std::vector<std::string> names = {name("the name of a variable")};
    while (accept(",")) names.push_back(name("the name of a variable"));
    if (parenthesis) expect(")");
    return names;
  }

  void for_statement(Statement& s) {
    s.kind = Kind::kFor;
    s.targets = targets();
    if (!accept_name("in")) unexpected("`in`");
    s.value = expression(false);
    if (accept_name("if")) s.condition = expression();
    if (token().name("recursive")) source_.bad(token().offset, "recursive loops are not supported");
    end_tag();
    ++loops_;
    s.body = block({"else", "endfor"});
    --loops_;
    advance();
    if (accept_name("else")) {
      end_tag();
      s.otherwise = block({"endfor"});
      advance();
    }
    advance();
    end_tag();
  }

  void set_statement(Statement& s) {
    s.kind = Kind::kSet;
    s.targets = targets();
    if (s.targets.size() == 1 && accept(".")) s.text = name("the name of an attribute");
    if (accept("=")) {
      s.value = tuple();
      return end_tag();
    }
    if (s.targets.size() > 1 || !s.text.empty()) unexpected("`=`");
    s.kind = Kind::kSetBlock;
    end_tag();
    s.body = block({"endset"});
    closing();
  }

  void macro_statement(Statement& s) {
    s.kind = Kind::kMacro;
    auto macro = std::make_unique<Macro>();
    macro->name = name("the name of a macro");
    expect("(");
    while (!token().is(")")) {
      std::string parameter = name("the name of a parameter");
      macro->parameters.emplace_back(std::move(parameter), accept("=") ? expression() : nullptr);
      if (!accept(",")) break;
    }
    expect(")");
    end_tag();
    const int loops = std::exchange(loops_, 0);
    macro->body = block({"endmacro"});
    loops_ = loops;
    advance();
    advance();
    if (token().kind == TokenKind::kName) advance();  // the macro's name again
    end_tag();
    s.macro = std::move(macro);
  }

  int loops_ = 0;
};

}  // namespace

Program parse(std::string_view text) {
  Program program{Source(text), {}};
  program.body = Parser(program.source).program();
  return program;
}

}  // namespace pith::model::jinja
