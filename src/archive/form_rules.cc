// Which tensors get which form.
#include <algorithm>

#include "pith/archive/stored_form.h"
#include "pith/base/float_elements.h"

namespace pith::archive {
namespace {

// Longer names match no pattern: regular expressions take stack for every character.
constexpr size_t kLongestName = 4096;

std::regex compile(const std::string& pattern) {
  try {
    return std::regex(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& e) {
    fail(ErrorKind::kUsage, "'{}' is no regular expression: {}", pattern, e.what());
  }
}

// A small matrix shows whether the expression names forms and parameters that there are, before
// hours of work.
void try_expression(const form::Expression& expression) {
  form::Matrix small({2, 64});
  for (size_t i = 0; i < small.values.size(); ++i)
    small.values[i] = static_cast<float>(i % 7) - 3.0f;
  try {
    form::encode(expression, small.view());
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kUsage) throw;
  }
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The last '=' outside of parentheses, seen from the end: those within belong to the arguments of
// the expression.
size_t separator(std::string_view text) {
  int depth = 0;
  for (size_t at = text.size(); at-- > 0;) {
    if (text[at] == ')') ++depth;
    if (text[at] == '(') --depth;
    if (text[at] == '=' && depth == 0) return at;
  }
  return std::string_view::npos;
}

}  // namespace

FormRule parse_form_rule(std::string_view text) {
  const size_t at = separator(text);
  if (at == std::string_view::npos) return {"", form::parse(text)};
  const std::string_view pattern = trimmed(text.substr(0, at));
  if (pattern.empty()) fail(ErrorKind::kUsage, "'{}': no pattern stands before the '='", text);
  return {std::string(pattern), form::parse(text.substr(at + 1))};
}

FormRule lossless_rule(std::string_view pattern) {
  if (pattern.empty()) fail(ErrorKind::kUsage, "an empty pattern");
  return {std::string(pattern), std::nullopt};
}

FormRules::FormRules(const std::vector<FormRule>& rules) {
  for (const FormRule& rule : rules) {
    rules_.push_back({rule, compile(rule.pattern)});
    if (rule.expression) try_expression(*rule.expression);
  }
}

const form::Expression* FormRules::find(const io::TensorRegion& tensor) const {
  if (!has_float_elements(tensor.dtype) || tensor.size == 0 || tensor.shape.empty()) return nullptr;
  for (auto r = rules_.rbegin(); r != rules_.rend(); ++r) {
    const std::string& pattern = r->rule.pattern;
    const bool exact = !pattern.empty() && pattern == tensor.name;
    const bool found = tensor.shape.size() > 1 && tensor.name.size() <= kLongestName &&
                       (pattern.empty() || std::regex_search(tensor.name, r->regex));
    if (exact || found) return r->rule.expression ? &*r->rule.expression : nullptr;
  }
  return nullptr;
}

form::Shape matrix_shape(const io::TensorRegion& tensor) {
  if (tensor.shape.empty()) return {1, 1};
  const uint64_t cols = tensor.shape.back(), width = info(tensor.dtype).block_bytes;
  return {cols == 0 ? 0 : tensor.size / width / cols, cols};
}

}  // namespace pith::archive
