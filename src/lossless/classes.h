// Streams whose character changes from place to place: rows of a matrix with scales of their own,
// small tensors one after the other, pruned channels.
//
// The stream is cut into segments; segments of like histograms form a class, and each class is a
// stream of its own. This is a mixture of order-0 models fitted by k-means under coding cost (Lloyd's
// algorithm with code lengths as distances); decoding it costs a copy.
#pragma once

#include "pith/base/bytes.h"
#include "pith/lossless/codec.h"

namespace pith::lossless {

// Appends the body of a class-coded stream; false, and nothing appended, when a sample says that it would
// not be at least `least_gain` (a share) smaller than one order-0 stream. With `check`, the whole stream
// must say so too, compared with tables of its own every 32768 symbols.
bool encode_classes(ByteView symbols, double least_gain, bool check, Level level, Bytes& out);
void decode_classes(ByteReader& in, MutableByteView symbols, int depth);

}  // namespace pith::lossless
