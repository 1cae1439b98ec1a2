// What a stream begins with, and how its blocks are framed.
#pragma once

#include <memory>
#include <optional>

#include "pith/kv/stream.h"
#include "stream_block.h"
#include "stream_planes.h"

namespace pith::kv {

inline constexpr uint8_t kStream = 2;  // the byte that a chunk begins with
// kind, and of the header its size and check; of a block its size and check.
inline constexpr uint64_t kStartBytes = 9, kFrameBytes = 8;
// A stream has at least a byte for so many numbers of keys; zeros at its end where it would not.
inline constexpr uint64_t kNumbersPerByte = 1 << 14;
inline constexpr uint64_t kMostStream = 1ULL << 28;  // numbers of keys that are taken unseen

struct StreamHeader {
  Arrays shape;  // without numbers
  Scheme scheme;
  std::optional<Rotation> rotation;
  uint64_t profile = 0;        // its id, or 0
  std::vector<uint64_t> kept;  // axes of each of its spans
};

void write_header(const StreamHeader& header, Bytes& out);
// Of the bytes behind the kind, the size and the check.
StreamHeader read_header(ByteView bytes);

uint32_t check_of(ByteView bytes);

}  // namespace pith::kv
