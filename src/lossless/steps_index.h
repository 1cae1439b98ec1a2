// Codes the indices of steps, each in the context of what the previous checkpoint holds at its
// place and around it.
//
// Which step an element takes follows from how large its moments and weights were, and from what
// its neighbours in the row and the column did. All of it goes into adaptive binary decisions
// (smaller steps or larger ones) that are mixed and coded arithmetically, as in "An Efficient
// Compression of Deep Neural Network Checkpoints Based on Prediction and Context Modeling" (2025),
// with counters instead of an LSTM so that every machine decodes the same.
#pragma once

#include <vector>

#include "pith/base/bytes.h"

namespace pith::lossless::steps {

struct IndexContext {
  Bytes base;            // sketch() of every element; empty: coded without the previous checkpoint
  uint64_t row = 0;      // elements of the innermost dimension; 0 or 1: unknown
  uint32_t symbols = 0;  // indices are less than this; at most 256
  uint32_t neutral = 0;  // the index of the step that changes least
};

// Sign (bit 7) and magnitude of floats of `width` bytes as half octaves below the largest, 0 to
// 127; magnitudes that fewer than one in 1024 elements reach count as the largest.
Bytes sketch(ByteView values, int width, int mantissa_bits);

// Appends `symbols` bytes that describe the distribution, and the arithmetic code to the end.
void encode_indices(ByteView indices, const IndexContext& context, Bytes& out);

// Fills `indices` from all that `in` still holds. A damaged code gives other indices, all of them
// less than context.symbols.
void decode_indices(ByteReader& in, const IndexContext& context, MutableByteView indices);

}  // namespace pith::lossless::steps
