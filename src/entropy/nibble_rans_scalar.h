// Portable loops of nibble_rans: the definition of the format, the short streams, and the ends that
// the vector loops leave.
#pragma once

#include "nibble_rans_kernels.h"

namespace pith::entropy {

// Decodes symbols [from, n) of a segment.
bool nibble_decode_scalar(const NibbleDecodeTable& t, NibbleDecoder& d, uint8_t* out, size_t from,
                          size_t n);

// Encodes symbols n - 1 down to `to` of a segment.
void nibble_encode_scalar(const NibbleEncodeTable& t, NibbleEncoder& e, const uint8_t* symbols,
                          size_t to, size_t n);

}  // namespace pith::entropy
