// The best values of a few neighbours of a row beside all other elements, and which of them stay.
#pragma once

#include "numbers.h"

namespace pith::fit {

class GroupChoice {
 public:
  // Longer groups have more masks than are counted up.
  static constexpr uint64_t kMost = 8;

  // size: at most kMost. q: the curvature, size x size; t: half of the fall of the loss by each
  // element; values: those that they have. What they point to must outlive it.
  GroupChoice(uint64_t size, const double* q, const double* t, const double* values);

  // By how much more the loss is than now with the best values of the elements of a mask (a bit for
  // each), which become values(); infinite where there are none.
  double solve(uint32_t mask);
  // The same of the best mask with so many bits as this, which is replaced.
  double choose(uint32_t& mask);
  const Numbers& values() const { return best_; }

 private:
  double loss(const double* v) const;

  uint64_t n_;
  const double* q_;
  const double* now_;
  Numbers aim_, best_;
};

}  // namespace pith::fit
