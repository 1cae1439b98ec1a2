// How the keys and values of a stretch of tokens are written where they are stored or sent:
//
//   uniform(4, group=32)      forms, of each head by itself
//   cache(keys=uniform(4), values=uniform(2), keys_by=token)      keys and values apart
//   stream(level=4)           codes of steps, entropy-coded layer by layer (stream.h)
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "pith/base/buffer.h"
#include "pith/kv/arrays.h"
#include "pith/kv/options.h"
#include "pith/kv/stream.h"

namespace pith::kv {

class ChunkCoding {
 public:
  // Throws ErrorKind::kUsage with the place for anything that is no coding, and for arguments of
  // `cache(…)` that say what a session does with tokens: a chunk has all of its own, in one tile.
  // kIo and kData for a profile that it names and that cannot be read.
  static ChunkCoding parse(std::string_view text);
  std::string text() const;
  // What chunks are named by: the text, with a profile's id in place of its path.
  std::string name() const;

  // Throws ErrorKind::kUsage where heads of this size, so many in each layer, cannot be coded so in
  // chunks of so many tokens; kLimit for chunks that are too large, or bits that are too few for
  // anything.
  void check(const std::vector<uint64_t>& heads, uint64_t head_size, uint64_t tokens) const;
  // Throws what check() throws, kData for numbers that are not finite.
  Bytes encode(const Arrays& arrays, int threads = 1) const;
  // As StreamOptions::with_rotation(); forms have none.
  ChunkCoding with_rotation(const Rotation& of_model) const;
  // What it needs beside the bytes; null for none.
  std::shared_ptr<const Profile> profile() const;

 private:
  using How = std::variant<CacheOptions, StreamOptions>;
  explicit ChunkCoding(How how) : how_(std::move(how)) {}
  How how_;
};

// What encode() wrote, by whatever coding; profile: that it was coded with, if with one. Throws
// ErrorKind::kData with the offset where it is damaged, kUsage where its profile is missing or
// another.
Arrays decode_chunk(ByteView bytes, const std::shared_ptr<const Profile>& profile = {},
                    int threads = 1);

}  // namespace pith::kv
