// Keys and values of a stretch of tokens as they are stored and sent: a header that says whose they
// are, and a payload (chunk_coding.h). docs/kv-stores.md has every byte.
//
// Chunks are named by what they are: the model, the way they are coded, and all tokens up to their
// end, as a chain. Texts that begin alike have their first chunks in common.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/base/hash.h"
#include "pith/kv/arrays.h"
#include "pith/kv/chunk_coding.h"

namespace pith::kv {

// What chunks of different texts have in common.
struct ChunkMaker {
  Hash128 model;           // model_hash()
  std::string coding;      // ChunkCoding::name()
  std::string cache = {};  // CacheOptions::text() of the session that read them; empty: a plain one
  bool operator==(const ChunkMaker&) const = default;
};

// What the first chunk of a text follows: of the maker alone.
Hash128 chain_root(const ChunkMaker& maker);
// The id of a chunk of these tokens behind the chunk, or root, `before`.
Hash128 chain_next(const Hash128& before, std::span<const int32_t> ids);
// The ids of the whole chunks of so many tokens that a text has, in order.
std::vector<Hash128> chain(const ChunkMaker& maker, std::span<const int32_t> ids, uint64_t tokens);

struct ChunkHeader {
  ChunkMaker maker;
  Hash128 id, before;
  uint64_t first = 0;        // position of its first token
  std::vector<int32_t> ids;  // of its tokens
  uint64_t numbers = 0;      // of keys and values together
};

struct Chunk {
  ChunkHeader header;
  ByteView payload;  // of the bytes that were read
};

// The chunk of keys and values of `ids`, which follow `before`. Throws what coding.encode() throws.
Bytes write_chunk(const ChunkMaker& maker, const ChunkCoding& coding, const Hash128& before,
                  std::span<const int32_t> ids, const Arrays& arrays);

// Header and checksums; the id follows from the rest. Throws ErrorKind::kData with the reason and
// offset for what is damaged, or no chunk.
Chunk read_chunk(ByteView bytes);

// Reads a chunk while it arrives: of a stream, what is there is decoded while the rest comes.
class ChunkReader {
 public:
  // profile: as decode_chunk() takes it.
  explicit ChunkReader(const Hash128& id, std::shared_ptr<const Profile> profile = {})
      : id_(id), profile_(std::move(profile)) {}

  // What has come so far, from the first byte on. Throws nothing for what is damaged: read() does.
  void arrived(ByteView so_far);
  // The keys and values of all of it. Throws what read_chunk() throws, and ErrorKind::kData where
  // the chunk is not `id`: one of another model, another coding or other tokens.
  Arrays read(ByteView bytes);

 private:
  void decode(ByteView so_far);

  Hash128 id_;
  std::shared_ptr<const Profile> profile_;
  std::optional<uint64_t> payload_;  // where it begins
  std::optional<StreamReader> stream_;
  uint64_t decoded_ = 0;  // of the payload
  bool later_ = false;    // all at once, in the end
};

// The same of a chunk that is there.
Arrays read_arrays(ByteView bytes, const Hash128& id,
                   const std::shared_ptr<const Profile>& profile = {});

}  // namespace pith::kv
