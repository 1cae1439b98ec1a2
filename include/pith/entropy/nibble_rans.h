// Order-0 coding of byte planes in which few values carry almost all the mass: float exponents,
// small quantized integers.
//
// At most 16 symbols of each segment's table are coded directly with 8-bit probabilities, the rest
// through an escape. 16-bit rANS states in interleaved lanes over one byte stream make both
// directions a matter of byte permutes in registers. The bytes do not depend on the machine.
// Layout: docs/codecs-entropy.md. Sources: Duda, "Asymmetric numeral systems" (2013); Giesen,
// "Interleaved entropy coders" (2014).
#pragma once

#include "pith/base/bytes.h"
#include "pith/entropy/histogram.h"

namespace pith::entropy {

// Longest input of one stream.
inline constexpr size_t kNibbleRansMaxSymbols = size_t{1} << 20;

// Room that nibble_rans_encode needs for n symbols.
size_t nibble_rans_bound(size_t n);

// Codes `symbols` to the front of `out` and returns the bytes written, or 0 when they would be as
// many as the symbols or more. Throws ErrorKind::kUsage when there are more than
// kNibbleRansMaxSymbols symbols or `out` is smaller than nibble_rans_bound.
size_t nibble_rans_encode(ByteView symbols, MutableByteView out);

// Fills `symbols`, whose size must be the number of symbols coded; throws ErrorKind::kData unless
// `code` is exactly one well-formed stream of so many symbols.
void nibble_rans_decode(ByteView code, MutableByteView symbols);

// Estimated size in bits of a sequence with these counts, its table included.
double nibble_rans_cost(const Histogram& counts);

}  // namespace pith::entropy
