// Streams whose character changes from place to place: rows of a matrix with scales of their own,
// small tensors one after the other, pruned channels.
//
// The stream is cut into segments; segments of like histograms form a class, and each class is a
// stream of its own. This is a mixture of order-0 models fitted by k-means under coding cost
// (Lloyd's algorithm with code lengths as distances); decoding it costs a copy.
#pragma once

#include "pith/base/bytes.h"
#include "pith/entropy/histogram.h"
#include "pith/lossless/codec.h"

namespace pith::lossless {

// How much slices of a stream differ: the variance of their lengths under `counts`, the histogram
// of the sample, over what equally distributed symbols would give. About 1 for a stream of one
// character, 5 and more where classes pay. The sample is slices of 256 symbols, or of a multiple.
double unevenness(ByteView sample, const entropy::Histogram& counts);

// Appends the body of a class-coded stream; false, and nothing appended, when a sample says that it
// would not be at least `least_gain` (a share) smaller than one order-0 stream. With `check`, the
// whole stream must say so too, compared with tables of its own every 32768 symbols.
bool encode_classes(ByteView symbols, double least_gain, bool check, Level level, Bytes& out);
void decode_classes(ByteReader& in, MutableByteView symbols, int depth);

}  // namespace pith::lossless
