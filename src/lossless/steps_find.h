// Finds the steps between a base and what became of it.
#pragma once

#include <vector>

#include "pith/base/bytes.h"
#include "pith/lossless/step_arithmetic.h"

namespace pith::lossless::steps {

inline constexpr size_t kMaxSteps = 255;

struct Found {
  std::vector<double> steps;  // ascending, at most kMaxSteps; empty: this domain does not fit
  Bytes indices;              // of every element; steps.size(): none of the steps gives it
  size_t escapes = 0;
};

// F: one of the formats of step_arithmetic.h. raw and base are whole elements, as many in both.
template <class F>
Found find(ByteView raw, ByteView base, Domain domain);

}  // namespace pith::lossless::steps
