// Unsigned integers stored in k bits each.
//
// Layout: blocks of 256 values. A block of k-bit values is 32 * k bytes: 32 byte-wide columns,
// value i of the block in column i % 32, columns filled from bit 0 upwards and interleaved byte by
// byte, so byte b of column c is at offset 32 * b + c. The last n % 256 values follow as one plain
// little-endian bit string, value after value from bit 0, padded with zero bits to a whole byte.
#pragma once

#include <concepts>
#include <span>

#include "pith/base/bytes.h"

namespace pith::entropy {

template <class T>
concept PackedElement =
    std::same_as<T, uint8_t> || std::same_as<T, uint16_t> || std::same_as<T, uint32_t>;

// ceil(n * bits / 8), exactly; throws ErrorKind::kData when that leaves 64 bits.
size_t bitpack_bytes(size_t n, unsigned bits);

// Stores the low `bits` (1 to the width of T) bits of each value. `out` must be exactly
// bitpack_bytes(values.size(), bits) long; ErrorKind::kUsage otherwise.
template <PackedElement T>
void bitpack(std::span<const T> values, unsigned bits, MutableByteView out);

// The reverse; `packed` must be exactly bitpack_bytes(values.size(), bits) long, ErrorKind::kData
// otherwise.
template <PackedElement T>
void bitunpack(ByteView packed, unsigned bits, std::span<T> values);

}  // namespace pith::entropy
