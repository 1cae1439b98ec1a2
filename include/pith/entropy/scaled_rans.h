// Small integers around zero of sources whose scale is known: what a quantizer gives of numbers
// with a known spread. Coder and decoder make the same tables themselves, from integers, so that a
// stream holds none; a source says which by one byte.
//
// Table 0 has only zeros, which take nothing. The others are, by rising scale, sampled normal
// (1 … kNormalTables) and sampled two-sided exponential distributions. Symbols are zigzag(code) for
// codes up to ±127; what a table holds for too rare is kEscape, and then it is the caller's to say
// what it was. 32-bit rANS states in 32 interleaved lanes, as byte_rans.h. Layout:
// docs/kv-travel.md.
#pragma once

#include <array>
#include <span>

#include "pith/base/bytes.h"

namespace pith::entropy {

inline constexpr uint32_t kNormalTables = 25, kExponentialTables = 27;
inline constexpr uint32_t kScaledTables = 1 + kNormalTables + kExponentialTables;
inline constexpr uint8_t kEscape = 255;

constexpr uint32_t zigzag(int32_t v) {
  return static_cast<uint32_t>(v) << 1 ^ static_cast<uint32_t>(v >> 31);
}
constexpr int32_t unzigzag(uint32_t z) { return static_cast<int32_t>(z >> 1 ^ (0 - (z & 1))); }

// What symbols cost in a table, in units of 2^-16 bits; none where only kEscape says them.
inline constexpr uint32_t kNoCost = ~0u;
const std::array<uint32_t, 256>& scaled_costs(uint32_t table);
// The symbol of a code in a table.
uint8_t scaled_symbol(uint32_t table, int32_t code);
// The scale of a table: the standard deviation of a normal one, the mean absolute value of an
// exponential one; 0 of table 0.
double scaled_scale(uint32_t table);

// A stretch of symbols of one source.
struct ScaledRun {
  uint32_t table = 0;
  uint64_t count = 0;
};

// Appends the stream of the symbols, which are those of the runs one after the other. Throws
// ErrorKind::kUsage for symbols that the runs' tables do not have.
void scaled_rans_encode(ByteView symbols, std::span<const ScaledRun> runs, Bytes& out);
// The reverse; throws ErrorKind::kData unless `code` is exactly one stream of these runs, kUsage
// for runs that are not as long as the symbols.
void scaled_rans_decode(ByteView code, std::span<const ScaledRun> runs, MutableByteView symbols);

}  // namespace pith::entropy
