// Archives that are taken apart and put together again, to deceive.
#pragma once

#include "pith/base/hash.h"
#include "record.h"
#include "testing.h"

namespace pith::archive::testing {

inline Index index_of(ByteView file) {
  const Footer footer = read_footer(file);
  const ByteView frame = file.subspan(footer.index_at);
  const FrameHeader header = *read_frame_header(frame);
  return read_index(unpack(frame.subspan(kHeaderSize, header.stored), header, 1 << 20),
                    footer.index_at);
}

// The end of an archive: the frame of an index, and the footer. claimed_raw: the size that the
// frame says the index has, 0 for its own.
inline void append_index(const Bytes& index, uint32_t id, Bytes& out, uint64_t claimed_raw = 0) {
  const uint64_t index_at = out.size();
  const Packed packed = pack(index);
  FrameHeader header{FrameKind::kIndex, packed.flags, id};
  header.stored = packed.payload.size();
  header.raw = claimed_raw ? claimed_raw : packed.raw;
  header.payload_hash = hash64(packed.payload);
  write_frame_header(header, out);
  out.insert(out.end(), packed.payload.begin(), packed.payload.end());
  out.resize(round_up(out.size()));
  const Bytes end =
      write_footer({index_at, kHeaderSize + header.stored, out.size() + kHeaderSize, id});
  out.insert(out.end(), end.begin(), end.end());
}

// One bit of every step-th byte.
inline void expect_verify_sees(Bytes file, size_t step) {
  for (size_t i = 0; i < file.size(); i += step) {
    file[i] ^= 0x10;
    bool seen = false;
    try {
      seen = !Archive::open_memory(file).verify(1).ok();
    } catch (const Error&) {
      seen = true;
    }
    EXPECT_TRUE(seen) << "byte " << i;
    file[i] ^= 0x10;
  }
}

}  // namespace pith::archive::testing
