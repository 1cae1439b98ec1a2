// How far data could be compressed at all: the entropies that bound a lossless coder.
#pragma once

#include <string>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/dtype.h"

namespace pith::audit {

// Bits an element that elements of a float type cost at least, by how much a coder may know.
// Tables are counted as a coder must send them: 8 bits for each symbol used in a segment, plus 16.
struct FloatLimits {
  uint64_t elements = 0;
  double sign = 0;             // order-0 entropy, whole data
  double exponent = 0;         // order-0, one table for all
  double exponent_blocks = 0;  // order-0, a fresh table for each 32768 elements, tables counted
  double mantissa = 0;         // order-0 of the whole mantissa (its top 8 bits, the rest as stored)
  double mantissa_given_exponent = 0;        // same, in the context of the exponent, whole data
  double raw_mantissa_bits() const;          // exponent_blocks + sign and mantissa as stored
  double conditional_mantissa_bits() const;  // exponent_blocks + sign + mantissa_given_exponent
  int exponent_width = 0, mantissa_width = 0;
};

// Throws ErrorKind::kUsage for types that are not floats.
FloatLimits float_limits(ByteView raw, DType dtype);

// Accumulates limits over several tensors: weighted by elements.
FloatLimits combine(const std::vector<FloatLimits>& parts);

// Order-0 entropy of each byte plane of `width`-byte elements, most significant first, bits a byte.
std::vector<double> plane_entropies(ByteView raw, int width);

}  // namespace pith::audit
