// Attention factored by heads, two matrices at a time: what a head reads of the stream as values
// and what it writes to it are one product W_o W_v, of which as high a rank is kept as it is worth,
// below the size of a head (COMCAT: Xiao et al. 2023, arXiv 2305.17235). Feed-forward matrices get
// low ranks of their own.
//
//   options.refine = [](const Refining& r) { return join_heads(r, {.keep = 0.6}); };
//
// With values x of a head (E[x xᵀ] as W_o sees them, behind attention) and the heads of queries
// that share it one below the other in W_o, the best product of a rank is that of fit::Truncation;
// its right factor goes into W_v, so that what is left of a head are r rows of W_v and r columns of
// W_o in place of all. In the end W_o is fitted to all heads together.
//
// Queries and keys meet in W_qᵀ R W_k, where R turns pairs of elements by their distance, so that
// only what commutes with all these turns may stand between them: of their product whole pairs are
// kept or not, by what is lost without them.
#pragma once

#include "pith/form/expression.h"
#include "pith/weights/refining.h"

namespace pith::weights {

enum class Joined : uint8_t {
  kNothing,  // queries, keys, values and outputs get low ranks of their own
  kValues,   // values and outputs are joined, queries and keys are not
  kPairs,    // all of them
};

struct JoinedOptions {
  // Of the elements of the matrices, where there is no limit on bytes.
  double keep = 0.5;
  Joined joined = Joined::kValues;
  bool searched = true;  // false: the same share of all ranks
  // false: what is not joined stays whole and in its types, and `keep` is of what is.
  bool others = true;
  double damping = 0.01;  // of second moments, as a share of their mean
  form::Expression factors = form::parse("dense(f16)");  // of what is kept
};

// Ranks come in sixteenths: of a head's size, of its pairs, and of the rank up to which factors
// take less than the matrix, which then stays whole. They are shared out by the least sum of
// expected divergences. Matrices of experts stay whole; values with biases are not joined, queries
// and keys with biases or norms neither. Needs a text, gradients, and Refining::forms to be empty;
// keeps twice the floats of the feed-forward matrices. Throws ErrorKind::kUsage without these,
// kLimit for a limit below the smallest that can be.
std::map<std::string, form::FormPtr, std::less<>> join_heads(const Refining& refining,
                                                             const JoinedOptions& options = {});

}  // namespace pith::weights
