// The smallest lossless coding Pith has: every bit is predicted by mixing adaptive contexts and
// coded arithmetically. Integer arithmetic only: encoders and decoders agree on every machine.
//
// A chunk is coded on its own; 1-4 MiB is a good size (the models start from nothing in each). The
// format and the models are in docs/codecs-context-mix.md. Sources: Mahoney's PAQ and lpaq for
// logistic mixing; "An Efficient Compression of Deep Neural Network Checkpoints Based on Prediction
// and Context Modeling" (2025) for contexts from an earlier checkpoint.
#pragma once

#include <cstdint>

#include "pith/base/bytes.h"

namespace pith::lossless {

struct ElementLayout {
  uint8_t width = 1;      // bytes per element: 1, 2, 4 or 8
  bool is_float = false;  // sign, exponent and mantissa as below; otherwise integers or bytes
  uint8_t exponent_bits = 0, mantissa_bits = 0;  // sum to 8 * width - 1 when is_float
  uint64_t row = 0;  // elements of the innermost dimension; 0 or 1: unknown
};

// Encodes any bytes; a tail that is no whole element is stored. `base` holds the bytes at the same
// place of an earlier state (same size as raw), or is empty. Never longer than raw + 16 bytes.
// Throws ErrorKind::kUsage for a layout that is none, ErrorKind::kBase for a base of another size.
Bytes context_mix_encode(ByteView raw, const ElementLayout& layout, ByteView base = {});

// Fills `raw`, whose size, layout and base must be those of encoding. Malformed code gives
// ErrorKind::kData, or other bytes where only the arithmetic code was damaged (it carries no
// checksum). Allocates O(raw.size() + a few tens of MB).
void context_mix_decode(ByteView code, MutableByteView raw, const ElementLayout& layout,
                        ByteView base = {});

}  // namespace pith::lossless
