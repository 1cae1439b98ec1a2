// Lower convex hulls of parts with one limit, and the steps along them.
#pragma once

#include <vector>

#include "table.h"

namespace pith::budget {

// To the next option of a part on its hull.
struct Step {
  double slope = 0;  // value saved for one unit of weight; falls along a part's steps
  size_t part = 0, option = 0;
  double weight = 0, value = 0;  // more weight, less value
};

// The steps of all parts, the best first, those of equal slopes in the order of the parts: every
// beginning of them leads from the cheapest choice to one on the hull of all choices.
std::vector<Step> hull_steps(const Table& table);

}  // namespace pith::budget
