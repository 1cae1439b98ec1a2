#include "stream_header.h"

#include <cstring>

#include "chunk_shape.h"
#include "pith/base/hash.h"
#include "rotation_bytes.h"

namespace pith::kv {

uint32_t check_of(ByteView bytes) { return static_cast<uint32_t>(hash64(bytes)); }

void write_header(const StreamHeader& h, Bytes& out) {
  Bytes body;
  ByteWriter to(body);
  write_shape(h.shape, to);
  to.u8(static_cast<uint8_t>(h.scheme.deltas));
  if (h.scheme.grouped()) to.varint(h.scheme.group);
  const bool own = h.rotation && !h.rotation->frequencies.empty();
  to.u8(h.rotation ? (h.rotation->neighbours ? 2 : 1) + (own ? 2 : 0) : 0);
  if (h.rotation) {
    uint64_t base = 0;
    std::memcpy(&base, &h.rotation->base, sizeof base);
    to.u64(base);
  }
  if (own) write_frequencies(h.rotation->frequencies, to);
  to.u64(h.profile);
  to.varint(h.kept.size());
  for (const uint64_t k : h.kept) to.varint(k);
  ByteWriter whole(out);
  whole.u8(kStream);
  whole.u32(static_cast<uint32_t>(body.size()));
  whole.u32(check_of(body));
  whole.bytes(body);
}

StreamHeader read_header(ByteView bytes) {
  ByteReader from(bytes, "a stream of keys and values");
  StreamHeader h;
  h.shape = read_shape(from);
  const uint8_t deltas = from.u8();
  if (deltas > static_cast<uint8_t>(Deltas::kAnchor)) from.bad("differences to nothing known");
  h.scheme = {.deltas = static_cast<Deltas>(deltas), .group = 1, .tokens = h.shape.tokens};
  if (h.scheme.grouped()) h.scheme.group = from.varint();
  if (h.scheme.group == 0 || h.scheme.group > 65536) from.bad("groups of no size that there is");
  const uint8_t rotation = from.u8();
  if (rotation > 4) from.bad("rotated in no way that there is");
  if (rotation > 0) {
    const uint64_t raw = from.u64();
    Rotation r{.neighbours = rotation % 2 == 0};
    std::memcpy(&r.base, &raw, sizeof raw);
    if (!(r.base >= 1 && r.base <= 1e12)) from.bad("a base below 1");
    if (rotation > 2) r.frequencies = read_frequencies(from, h.shape.head_size);
    h.rotation = r;
  }
  h.profile = from.u64();
  h.kept.resize(from.count(1));
  for (uint64_t& k : h.kept) k = from.varint();
  from.expect_end();
  return h;
}

uint64_t stream_profile(ByteView bytes) {
  ByteReader from(bytes, "a stream of keys and values");
  if (from.u8() != kStream) from.bad("of another kind");
  const uint32_t size = from.u32(), check = from.u32();
  const ByteView body = from.bytes(size);
  if (check_of(body) != check) from.bad("the check of its header does not hold");
  return read_header(body).profile;
}

}  // namespace pith::kv
