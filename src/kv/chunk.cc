#include "pith/kv/chunk.h"

#include <algorithm>
#include <array>

#include "pith/base/error.h"

namespace pith::kv {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {0x89, 'P', 'K', 'V', '\r', '\n', 0x1A, '\n'};
constexpr uint16_t kVersion = 1;
constexpr uint64_t kMostText = 4096;

void write(const Hash128& hash, ByteWriter& to) { to.bytes(hash.bytes); }

Hash128 read_hash(ByteReader& from) {
  Hash128 hash;
  std::ranges::copy(from.bytes(hash.bytes.size()), hash.bytes.begin());
  return hash;
}

std::string read_text(ByteReader& from) {
  const uint64_t size = from.count(1);
  if (size > kMostText) from.bad("a text that is too long");
  const ByteView text = from.bytes(size);
  return {text.begin(), text.end()};
}

void write(const ChunkHeader& h, ByteWriter& to) {
  to.bytes(kMagic);
  to.u16(kVersion);
  write(h.maker.model, to);
  write(h.id, to);
  write(h.before, to);
  to.string(h.maker.coding);
  to.string(h.maker.cache);
  to.varint(h.first);
  to.varint(h.ids.size());
  for (const int32_t id : h.ids) to.u32(static_cast<uint32_t>(id));
  to.varint(h.numbers);
}

ChunkHeader read_header(ByteReader& from) {
  if (!std::ranges::equal(from.bytes(kMagic.size()), kMagic)) from.bad("no chunk");
  const uint16_t version = from.u16();
  if (version != kVersion) from.bad(fmt::format("of version {}, which is not known", version));
  ChunkHeader h;
  h.maker.model = read_hash(from);
  h.id = read_hash(from);
  h.before = read_hash(from);
  h.maker.coding = read_text(from);
  h.maker.cache = read_text(from);
  h.first = from.varint();
  h.ids.resize(from.count(sizeof(uint32_t)));
  for (int32_t& id : h.ids) id = static_cast<int32_t>(from.u32());
  h.numbers = from.varint();
  return h;
}

}  // namespace

Hash128 chain_root(const ChunkMaker& maker) {
  Bytes bytes;
  bytes.reserve(256);
  ByteWriter to(bytes);
  to.bytes(kMagic);
  to.u16(kVersion);
  write(maker.model, to);
  to.string(maker.coding);
  to.string(maker.cache);
  return hash128(bytes);
}

Hash128 chain_next(const Hash128& before, std::span<const int32_t> ids) {
  Bytes bytes;
  ByteWriter to(bytes);
  write(before, to);
  for (const int32_t id : ids) to.u32(static_cast<uint32_t>(id));
  return hash128(bytes);
}

std::vector<Hash128> chain(const ChunkMaker& maker, std::span<const int32_t> ids, uint64_t tokens) {
  std::vector<Hash128> out;
  Hash128 before = chain_root(maker);
  for (uint64_t at = 0; ids.size() - at >= tokens; at += tokens) {
    before = chain_next(before, ids.subspan(at, tokens));
    out.push_back(before);
  }
  return out;
}

Bytes write_chunk(const ChunkMaker& maker, const ChunkCoding& coding, const Hash128& before,
                  std::span<const int32_t> ids, const Arrays& arrays) {
  const Bytes payload = coding.encode(arrays);
  Bytes out;
  ByteWriter to(out);
  write({.maker = maker,
         .id = chain_next(before, ids),
         .before = before,
         .first = arrays.first,
         .ids = {ids.begin(), ids.end()},
         .numbers = 2 * arrays.size()},
        to);
  to.varint(payload.size());
  to.u64(hash64(payload));
  to.u64(hash64(out));
  to.bytes(payload);
  return out;
}

Chunk read_chunk(ByteView bytes) {
  ByteReader from(bytes, "a chunk of keys and values");
  Chunk chunk{read_header(from), {}};
  const ChunkHeader& h = chunk.header;
  const uint64_t size = from.varint(), hash = from.u64();
  const uint64_t own = hash64(bytes.first(from.offset()));
  if (from.u64() != own) from.bad("the header does not match its checksum");
  if (size != from.remaining()) {
    from.bad(fmt::format("{} bytes of payload, {} are there", size, from.remaining()));
  }
  chunk.payload = from.bytes(size);
  if (hash64(chunk.payload) != hash) from.bad("the payload does not match its checksum");
  if (h.id != chain_next(h.before, h.ids)) from.bad("an id that is not of its tokens");
  if (h.first == 0 && h.before != chain_root(h.maker)) from.bad("an id that is not of its model");
  return chunk;
}

void ChunkReader::decode(ByteView so_far) {
  if (!payload_) {
    ByteReader from(so_far, "a chunk of keys and values");
    read_header(from);
    from.varint();
    from.bytes(2 * sizeof(uint64_t));
    payload_ = from.offset();
  }
  const ByteView payload = so_far.subspan(*payload_);
  if (!stream_ && stream_begins(payload)) stream_.emplace(profile_);
  if (!stream_) return;
  stream_->add(payload.subspan(decoded_));
  decoded_ = payload.size();
}

void ChunkReader::arrived(ByteView so_far) {
  if (later_) return;
  try {
    decode(so_far);
  } catch (const Error&) {
    later_ = true;
  }
  // Forms, and headers that are longer than the first piece.
  later_ = later_ || !stream_;
}

Arrays ChunkReader::read(ByteView bytes) {
  const Chunk chunk = read_chunk(bytes);
  const ChunkHeader& h = chunk.header;
  if (h.id != id_) {
    fail(ErrorKind::kData, "a chunk of another model or text: {} in place of {}", h.id.hex(),
         id_.hex());
  }
  const bool decoded = !later_ && stream_ && stream_->complete();
  Arrays arrays = decoded ? stream_->take() : decode_chunk(chunk.payload, profile_);
  if (arrays.first != h.first || arrays.tokens != h.ids.size() || 2 * arrays.size() != h.numbers) {
    fail(ErrorKind::kData, "chunk {}: keys and values of other tokens than it says", id_.hex());
  }
  return arrays;
}

Arrays read_arrays(ByteView bytes, const Hash128& id,
                   const std::shared_ptr<const Profile>& profile) {
  return ChunkReader(id, profile).read(bytes);
}

}  // namespace pith::kv
