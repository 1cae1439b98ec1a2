// Limits that can each be met, but not together: which of them, and what could be met instead.
#pragma once

#include <optional>

#include "pith/budget/solve.h"

namespace pith::budget {

struct Attempt {
  std::optional<Solution> solution = {};  // nothing: none was found
  bool none = false;                      // proven: there is none
  size_t limits = 0;                      // that bind
};

// What solve() does, without errors for limits that cannot be met together.
Attempt attempt(const Problem& problem, const Goal& goal, const Options& options);

// Throws ErrorKind::kLimit; `none` as in the attempt that failed.
[[noreturn]] void fail_conflict(const Problem& problem, const Goal& goal, bool none,
                                const Options& options);

}  // namespace pith::budget
