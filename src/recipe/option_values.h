// What users say to recipes, read and checked. All throw ErrorKind::kUsage with the option's key.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "pith/recipe/registry.h"

namespace pith::recipe {

// A whole number, and any.
uint64_t number_of(const Values& values, std::string_view key, uint64_t least, uint64_t most);
double real_of(const Values& values, std::string_view key, double least, double most);
// One of these words.
std::string_view word_of(const Values& values, std::string_view key,
                         std::initializer_list<std::string_view> words);
// "a/b/c": of several, each matrix gets one. At least one, none empty.
std::vector<std::string> list_of(const Values& values, std::string_view key);

}  // namespace pith::recipe
