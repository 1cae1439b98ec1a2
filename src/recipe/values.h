// What a user said to a recipe, as numbers.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "pith/recipe/registry.h"

namespace pith::recipe {

// Of the key, which is there. Throws ErrorKind::kUsage with what may be written.
uint64_t number(const Values& values, std::string_view key, uint64_t least, uint64_t most);
// "2+3+4"; at least one.
std::vector<std::string_view> list(const Values& values, std::string_view key);

}  // namespace pith::recipe
