// The solvers, each over a table with at least one limit that binds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pith/budget/solve.h"
#include "table.h"

namespace pith::budget {

struct Found {
  std::optional<Choice> choice = {};  // nothing: none was found
  double bound = 0;                   // of the value above the table's base
  std::vector<double> prices = {};    // of each slack, by which the bound was found
  bool none = false;                  // proven: no choice is within the limits
  std::string note = {};
};

Found solve_lagrangian(const Table& table, const Options& options);
Found solve_greedy(const Table& table, const Options& options);
// One limit.
Found solve_dynamic(const Table& table, const Options& options);
Found solve_integer(const Table& table, const Options& options);

}  // namespace pith::budget
