// Order-0 coding of bytes over the full alphabet: quantized integers, high bytes of half floats,
// residual symbols.
//
// Static 12-bit probabilities for each segment, 32-bit rANS states with 16-bit renormalisation in
// 32 interleaved lanes over one stream of 16-bit words. The bytes do not depend on the machine.
// Layout: docs/codecs-entropy.md. Sources: Duda, "Asymmetric numeral systems" (2013); Giesen,
// "Interleaved entropy coders" (2014).
#pragma once

#include "pith/base/bytes.h"
#include "pith/entropy/histogram.h"

namespace pith::entropy {

// Longest input of one stream.
inline constexpr size_t kByteRansMaxSymbols = size_t{1} << 24;

// Room that byte_rans_encode needs for n symbols.
size_t byte_rans_bound(size_t n);

// Codes `symbols` to the front of `out` and returns the bytes written, or 0 when they would be as
// many as the symbols or more. Throws ErrorKind::kUsage when there are more than
// kByteRansMaxSymbols symbols or `out` is smaller than byte_rans_bound.
size_t byte_rans_encode(ByteView symbols, MutableByteView out);

// Fills `symbols`, whose size must be the number of symbols coded; throws ErrorKind::kData unless
// `code` is exactly one well-formed stream of so many symbols.
void byte_rans_decode(ByteView code, MutableByteView symbols);

// Estimated size in bits of a sequence with these counts, its table included.
double byte_rans_cost(const Histogram& counts);

}  // namespace pith::entropy
