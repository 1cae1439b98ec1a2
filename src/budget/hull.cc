#include "hull.h"

#include <algorithm>

namespace pith::budget {
namespace {

Step step(const Table& table, size_t part, size_t from, size_t to) {
  const double weight = table.weight[to] - table.weight[from];
  const double value = table.value[from] - table.value[to];
  return {value / weight, part, to, weight, value};
}

}  // namespace

std::vector<Step> hull_steps(const Table& table) {
  std::vector<Step> steps;
  for (size_t i = 0; i < table.parts(); ++i) {
    const size_t begin = steps.size(), cheapest = table.first[i];
    for (size_t option = cheapest + 1; option < table.first[i + 1]; ++option) {
      const auto from = [&] { return steps.size() > begin ? steps.back().option : cheapest; };
      Step next = step(table, i, from(), option);
      while (steps.size() > begin && next.slope >= steps.back().slope) {
        steps.pop_back();
        next = step(table, i, from(), option);
      }
      steps.push_back(next);
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.slope > b.slope; });
  return steps;
}

}  // namespace pith::budget
