// Counts of byte values, and the order-0 entropy that they imply.
#pragma once

#include <array>
#include <cstdint>

#include "pith/base/bytes.h"

namespace pith::entropy {

// counts[v] = how often v occurs; spans of up to 2^32 - 1 bytes.
using Histogram = std::array<uint32_t, 256>;

// Replaces `counts` by the counts of `symbols`.
void histogram(ByteView symbols, Histogram& counts);

// Shannon entropy of the whole sequence in bits (not per symbol): sum of c * log2(total / c).
double entropy_bits(const Histogram& counts);

// log2(x) in units of 2^-16, error below 2^-15; log2_q16(0) is 0. Integer arithmetic, so decisions
// that rest on it are the same on every machine.
uint32_t log2_q16(uint32_t x);

}  // namespace pith::entropy
