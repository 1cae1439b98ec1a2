// Weights of each row removed or rounded one at a time, the cheapest first, the others of the row
// making up for each: Optimal Brain Compression (Frantar and Alistarh 2022), where removal is
// called ExactOBS and rounding OBQ.
//
// Error feedback (feedback.h) takes all columns in one order and is faster by a factor of about the
// number of columns; this takes columns^3 / 2 products for a row. What it removes is chosen better;
// what it rounds is not, on the whole: cheap ones first leaves the dear ones to the end.
#pragma once

#include "pith/fit/fitter.h"

namespace pith::fit {

struct GreedyOptions {
  double damping = 0.01;  // as FeedbackOptions
};

// Matrices of more columns are refused: they would take days.
inline constexpr uint64_t kMostGreedyColumns = 4096;

// `sparse(...)` of a share of the elements (which rows lose more is decided by what the removals
// cost) or n:m, `uniform(...)`, or `sparse(..., values=uniform(...))`: first removed, then rounded.
// What a coder or values of other forms do comes after that. Throws ErrorKind::kUsage for other
// expressions, kLimit for too many columns.
Fitter greedy_fitter(const form::Expression& expression, const GreedyOptions& options = {});

}  // namespace pith::fit
