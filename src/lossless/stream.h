// A byte stream coded by whatever measures smallest: the leaf of every layout.
#pragma once

#include <string>

#include "pith/base/bytes.h"
#include "pith/lossless/codec.h"

namespace pith::lossless {

enum class StreamKind : uint8_t {
  kRaw = 0,
  kConstant = 1,    // one byte, repeated
  kNibbleRans = 2,  // few symbols and an escape
  kByteRans = 3,    // any symbols
  kZstd = 4,
  kClasses = 5,  // segments of like histograms, each class a stream of its own
};

// Order-0 entropy of bytes from a sample of them, in bits a byte, corrected for the sample's size
// (Miller and Madow 1955) so that random bytes give 8.
double sampled_entropy(ByteView sample);

// Appends kind, varint size and the coded bytes.
void encode_stream(ByteView symbols, Level level, Bytes& out);
// The same without looking for classes.
void encode_plain_stream(ByteView symbols, Level level, Bytes& out);

// Reads a stream of exactly symbols.size() bytes. `depth` counts streams within streams.
void decode_stream(ByteReader& in, MutableByteView symbols, int depth = 0);

// The same without a copy where the stream is stored as it is: a view into the block, or `scratch`
// (grown to n) filled.
ByteView decode_stream_view(ByteReader& in, uint64_t n, Bytes& scratch, int depth = 0);

// "nibble_rans 12345" (coded bytes).
std::string explain_stream(ByteReader& in);

}  // namespace pith::lossless
