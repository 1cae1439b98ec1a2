// What a user said to a recipe, as numbers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "pith/recipe/registry.h"

namespace pith::recipe {

// Of the key, which is there. Throws ErrorKind::kUsage with what may be written.
uint64_t number(const Values& values, std::string_view key, uint64_t least, uint64_t most);
double real(const Values& values, std::string_view key, double least, double most);
// "60%" as 0.6, of at most so much.
double share(std::string_view key, std::string_view text, double most);
// One of these words.
std::string_view word(const Values& values, std::string_view key,
                      std::initializer_list<std::string_view> words);
// For FormCandidate::check: refuses rows that so many elements at a time, "blocks", do not divide.
std::function<void(form::Shape)> rows_of(uint64_t elements, std::string_view what);
// "2+3+4"; at least one.
std::vector<std::string_view> list(const Values& values, std::string_view key);

}  // namespace pith::recipe
