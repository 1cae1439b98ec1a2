// Filters and tests, as Jinja defines them.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja_value.h"

namespace pith::model::jinja {

// The arguments of a call, in parentheses.
struct Arguments {
  std::span<const Value> values;
  std::span<const std::pair<std::string, Value>> named;

  // The argument at a place or of a name; nullptr where it is not given.
  const Value* get(size_t place, std::string_view name) const;
};

// subject | name(arguments); Trouble for filters that do not exist here.
Value apply_filter(std::string_view name, const Value& subject, const Arguments& arguments,
                   Work& work);

// subject is name(arguments)
bool apply_test(std::string_view name, const Value& subject, std::span<const Value> arguments,
                Work& work);

// value.name or value[name] of mappings and namespaces; undefined where there is none.
Value attribute(const Value& value, std::string_view name, Work& work);
// `part in whole`
bool contains(const Value& whole, const Value& part, Work& work);

}  // namespace pith::model::jinja
