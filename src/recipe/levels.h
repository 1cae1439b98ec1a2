// The forms that recipes choose among for each matrix: the option `levels`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "recipes.h"
#include "values.h"

namespace pith::recipe {

inline constexpr Option kGroup = {"group", "128", "neighbours in a row that share a scale"};

// The candidates of the values `levels` and `group`; more: further arguments of uniform forms.
void add_levels(const Values& values, std::string_view more, Plan& plan);
std::vector<std::string> names_of(const Plan& plan);
// The part's candidate of this name; of parts that refused it the one before it in the list of all.
size_t candidate_named(const budget::Part& part, std::span<const std::string> names, size_t at);
// The least of the goal's limits on this cost.
double room(const weights::Choosing& c, std::string_view resource);

}  // namespace pith::recipe
