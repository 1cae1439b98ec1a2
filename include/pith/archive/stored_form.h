// Tensors that an archive holds in a compressed form, and the rules by which a writer chooses it.
//
//   const std::vector<FormRule> rules = {parse_form_rule("uniform(4, group=64)"),
//                                        parse_form_rule("embed|lm_head=uniform(8)"),
//                                        lossless_rule("router")};
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/buffer.h"
#include "pith/form/form.h"
#include "pith/io/layout.h"

namespace pith::archive {

// What an archive records of a tensor in a compressed form.
struct FormInfo {
  std::string expression;  // as form::to_string() writes it
  uint64_t bytes = 0;      // of the form: form::bits() / 8
  // Between the elements when the form was made and those that are read back: the sum of squared
  // differences as a share of the sum of squares, and the largest difference.
  double error = 0, max_error = 0;
};

// A form as it stands in an archive.
struct StoredForm {
  FormInfo info;
  Buffer bytes;  // what form::read() takes
};

// The last rule that takes a tensor decides. A rule takes tensors of floats with at least two
// dimensions whose name the pattern is found in; a tensor of one dimension (norms, biases) only
// when the pattern is its very name. All other tensors are stored losslessly.
struct FormRule {
  std::string pattern;                         // ECMAScript regular expression; empty: any name
  std::optional<form::Expression> expression;  // none: lossless
};

// "EXPRESSION" or "PATTERN=EXPRESSION". Throws kUsage, with the place in the expression.
FormRule parse_form_rule(std::string_view text);
// Keeps what the pattern matches lossless.
FormRule lossless_rule(std::string_view pattern);

// Rules ready for use.
class FormRules {
 public:
  // Throws kUsage for a pattern or an expression that cannot be.
  explicit FormRules(const std::vector<FormRule>& rules);

  bool empty() const { return rules_.empty(); }
  // The rule that decides; null: none. Lives as long as the rules.
  const FormRule* rule(const io::TensorRegion& tensor) const;
  // Its form; null: lossless.
  const form::Expression* find(const io::TensorRegion& tensor) const;

 private:
  struct Compiled {
    FormRule rule;
    std::regex regex;
  };
  std::vector<Compiled> rules_;
};

// A tensor as a matrix: the last dimension is columns, of four (convolutions) the first is rows.
form::Shape matrix_shape(const io::TensorRegion& tensor);

}  // namespace pith::archive
