// Any bytes as an expression and as definitions: an error of the right kind or an expression that
// prints and parses to itself, in bounded time.
#include <cstdio>
#include <cstdlib>

#include "pith/form/expression.h"

namespace {

using namespace pith::form;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

template <class F>
void attempt(const F& run) {
  try {
    run();
  } catch (const pith::Error& e) {
    require(e.kind() == pith::ErrorKind::kUsage || e.kind() == pith::ErrorKind::kLimit,
            "errors are of notation or of limits");
  }
}

// Numbers and escapes may grow a little when written in their one form, beyond the limit of text
// only where the input is near it.
void check(const Expression& e, size_t size) {
  std::string text;
  try {
    text = to_string(e);
  } catch (const pith::Error& error) {
    require(error.kind() == pith::ErrorKind::kLimit && size > kMaxText / 32,
            "what is short can be printed");
    return;
  }
  const Expression again = parse(text);
  require(again == e, "printed and parsed, the same expression");
  require(to_string(again) == text, "one way to print");
  require(substitute(e, {}) == e, "nothing replaced, the same expression");
  const auto names = variables(e);
  attempt([&] {
    Bindings bindings;
    for (const std::string& name : names) bindings.emplace(name, e);
    const Expression replaced = substitute(e, bindings);
    require(replaced.depth() <= kMaxDepth && replaced.nodes() <= kMaxNodes, "limits hold");
    require(variables(replaced) == names, "what is put in is not searched");
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] { check(parse(text), size); });
  attempt([&] { parse_definition(text); });
  attempt([&] {
    for (const Definition& d : parse_definitions(text)) check(d.expression, size);
  });
  return 0;
}
