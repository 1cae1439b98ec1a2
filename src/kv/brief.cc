#include "pith/kv/brief.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pith/base/error.h"
#include "pith/form/expression.h"

namespace pith::kv {
namespace {

using form::Argument;
using form::Expression;

// Of cache(…), then of stream(…).
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kDefaults = {{
    {"keys_by", "channel"},
    {"values_by", "token"},
    {"window", "128"},
    {"sink", "0"},
    {"tile", "128"},
    {"kept", "1"},
    {"ranks", "searched"},
    {"positions", "text"},
    {"shares", "even"},
    {"reads_by", "bound"},
    {"prompts", "pieces"},
    {"models", "channel"},
    {"deeper", "1"},
    {"deltas", "mean"},
    {"rope", "undone"},
    {"base", "10000"},
    {"neighbours", "false"},
    {"steps", "equal"},
}};

bool is_default(const Argument& a, bool along_axes) {
  const std::string value = form::to_string(a.value);
  if (a.key == "values_by" && along_axes) return value == "channel";
  return std::ranges::find(kDefaults, std::pair<std::string_view, std::string_view>(
                                          a.key, value)) != kDefaults.end();
}

std::string without_defaults(const Expression& whole) {
  const bool along_axes = whole.argument("profile") != nullptr;
  const form::Value *keys = whole.argument("keys"), *values = whole.argument("values");
  const bool alike = keys && values && *keys == *values;
  std::vector<Argument> args;
  if (alike) args.push_back({"", *keys});
  for (const Argument& a : whole.arguments()) {
    const bool said = alike && (a.key == "keys" || a.key == "values");
    if (!said && !is_default(a, along_axes)) args.push_back(a);
  }
  if (alike && args.size() == 1) return form::to_string(*keys);
  return form::to_string(Expression::call(whole.name(), std::move(args)));
}

}  // namespace

std::string brief(std::string_view text) {
  try {
    const Expression whole = form::parse(text);
    const bool ours = whole.is_call() && (whole.name() == "cache" || whole.name() == "stream");
    return ours ? without_defaults(whole) : std::string(text);
  } catch (const Error&) {
    return std::string(text);
  }
}

}  // namespace pith::kv
