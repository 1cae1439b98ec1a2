// What each query head of a model reads of a text: for what is measured of attention.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "pith/form/matrix.h"
#include "pith/model/axes_profile.h"

namespace pith::model {

// A query head, and the keys and values that it reads.
struct TracedHead {
  uint64_t index = 0;                   // of the keys and values, among all heads of all layers
  uint64_t far_begin = 0, far_end = 0;  // tokens that are neither near nor first
  form::Matrix keys, values;            // [token][channel], keys rotated
  form::Matrix queries;                 // the last tokens', scaled and rotated
  form::Matrix output;                  // [width][channel]: this head's part of the output
  form::Matrix scores, weights;         // [query][token]; weights are what softmax makes of scores
  double unit = 0;                      // squares of the stream behind attention, of these tokens
};

// Calls `each` with all query heads of all layers, for each text; the heads of a group one after
// the other, groups in any thread. Windows of layers are not looked at. Throws ErrorKind::kUsage
// for a text shorter than the context, or options of which no tokens are far.
void trace_heads(const LanguageModel& model, std::span<const int32_t> ids,
                 const HarmOptions& options, int threads,
                 const std::function<void(const TracedHead&)>& each);

// Columns begin … of `count` rows.
form::Matrix cut(const form::Matrix& m, uint64_t first_row, uint64_t count, uint64_t begin,
                 uint64_t cols);
form::Matrix times(const form::Matrix& a, const form::Matrix& b);
form::Matrix times_transposed(const form::Matrix& a, const form::Matrix& b);
// Scores become weights; the last row sees all tokens, the one before it one less, …
void softmax(form::Matrix& scores);
double squares(const form::Matrix& m);

}  // namespace pith::model
