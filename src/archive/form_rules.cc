// Which tensors get which form.
#include <algorithm>

#include "pith/archive/stored_form.h"
#include "pith/base/float_elements.h"

namespace pith::archive {
namespace {

// Longer names match no pattern. Reading a pattern takes stack for every parenthesis.
constexpr size_t kLongestName = 1024, kLongestPattern = 4096;

// All ways to match are followed at once: neither stack nor time grows without bounds, whatever the
// name. Such patterns have no back-references.
#ifdef __GLIBCXX__
constexpr auto kSyntax = std::regex::ECMAScript | std::regex_constants::__polynomial;
#else
constexpr auto kSyntax = std::regex::ECMAScript;
#endif

std::regex compile(const std::string& pattern) {
  if (pattern.size() > kLongestPattern) {
    fail(ErrorKind::kUsage, "a regular expression of {} bytes; at most {} are read", pattern.size(),
         kLongestPattern);
  }
  try {
    return std::regex(pattern, kSyntax | std::regex::optimize);
  } catch (const std::regex_error& e) {
    fail(ErrorKind::kUsage, "'{}' is no regular expression: {}", pattern, e.what());
  }
}

// What encode() says of a small matrix with whole blocks of any size; none where it is no wrong
// usage.
std::optional<Error> refusal(const form::Expression& expression, form::Shape shape) {
  form::Matrix small(shape);
  for (size_t i = 0; i < small.values.size(); ++i)
    small.values[i] = static_cast<float>(i % 7) - 3.0f;
  try {
    form::encode(expression, small.view());
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kUsage) return e;
  }
  return std::nullopt;
}

// Small matrices show whether the expression names forms and parameters that there are, before
// hours of work. Some expressions are for square or for larger matrices alone.
void try_expression(const form::Expression& expression) {
  const auto first = refusal(expression, {2, 256});
  if (first && refusal(expression, {256, 256}) && refusal(expression, {512, 1024})) throw *first;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The end of what begins at `at` and ends with `last`; a backslash takes the next character along.
size_t end_of(std::string_view text, size_t at, char last) {
  while (++at < text.size() && text[at] != last) at += text[at] == '\\';
  return at;
}

// The last '=' outside of parentheses: those within belong to the arguments of the expression, or
// to the regular expression. Seen from the front, so that an expression whose end is missing is
// still told from its pattern.
size_t separator(std::string_view text) {
  size_t found = std::string_view::npos;
  int depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\\') ++at;
    if (c == '[') at = end_of(text, at, ']');
    if (c == '"' && found != std::string_view::npos) at = end_of(text, at, '"');
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == '=' && depth == 0) found = at;
  }
  return found;
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

const FormRule* FormRules::rule(const io::TensorRegion& tensor) const {
  if (!has_float_elements(tensor.dtype) || tensor.size == 0 || tensor.shape.empty()) return nullptr;
  for (auto r = rules_.rbegin(); r != rules_.rend(); ++r) {
    const std::string& pattern = r->rule.pattern;
    const bool exact = !pattern.empty() && pattern == tensor.name;
    const bool found = tensor.shape.size() > 1 && tensor.name.size() <= kLongestName &&
                       (pattern.empty() || std::regex_search(tensor.name, r->regex));
    if (exact || found) return &r->rule;
  }
  return nullptr;
}

const form::Expression* FormRules::find(const io::TensorRegion& tensor) const {
  const FormRule* found = rule(tensor);
  return found && found->expression ? &*found->expression : nullptr;
}

form::Shape matrix_shape(const io::TensorRegion& tensor) {
  if (tensor.shape.empty()) return {1, 1};
  const uint64_t width = info(tensor.dtype).block_bytes;
  if (tensor.shape.size() >= 4) {
    const uint64_t rows = tensor.shape.front();
    return {rows, rows == 0 ? 0 : tensor.size / width / rows};
  }
  const uint64_t cols = tensor.shape.back();
  return {cols == 0 ? 0 : tensor.size / width / cols, cols};
}

bool is_matrix_of(form::Shape shape, const io::TensorRegion& tensor) {
  if (shape == matrix_shape(tensor)) return true;
  const uint64_t elements = tensor.size / info(tensor.dtype).block_bytes;
  uint64_t rows = 1;
  for (size_t k = 0; k + 1 < tensor.shape.size(); ++k) {
    rows *= tensor.shape[k];
    if (rows == shape.rows && rows > 0 && elements % rows == 0 && shape.cols == elements / rows) {
      return true;
    }
  }
  return false;
}

}  // namespace pith::archive
