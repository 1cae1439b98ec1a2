// The lossless codec of one piece of data: elements of one type in, fewer bytes out, every bit
// back.
//
// encode() chooses by measuring: it looks at the bytes (entropies of planes, zeros, distinct
// values, repeats), estimates every layout that could pay, and takes the smallest that the level
// allows. The coded block says what it holds; decode() needs only the block, the exact size, and
// for a delta the base.
#pragma once

#include <string>

#include "pith/base/bytes.h"
#include "pith/base/dtype.h"

namespace pith::lossless {

enum class Level : uint8_t { kFast = 0, kDefault = 1, kMax = 2 };

struct Content {
  DType dtype = DType::kBytes;  // a hint: kBytes makes encode() look for structure itself
  uint64_t row = 0;             // elements of the innermost dimension; 0: unknown
  bool big_endian = false;
};

// Raw bytes that one block may hold at most.
inline constexpr uint64_t kMaxBlock = uint64_t{1} << 26;

// Appends the coded block to `out`. Never appends more than raw.size() + 16 bytes. `base`: the
// bytes at the same place of the base tensor (same size as raw), or empty. Thread-safe.
void encode(ByteView raw, const Content& content, Level level, ByteView base, Bytes& out);

// Fills `raw` (whose size is the exact original size) from one block. Throws ErrorKind::kData on
// anything that is not a block of exactly this size, ErrorKind::kBase when the block is a delta and
// base is empty or of another size. Allocates O(raw.size()).
void decode(ByteView block, ByteView base, MutableByteView raw);

// True when decode() of this block needs the base.
bool needs_base(ByteView block);

// One line for people: "split(bf16: nibble_rans 2.59, raw 8.00)".
std::string explain(ByteView block);

}  // namespace pith::lossless
