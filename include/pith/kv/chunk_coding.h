// How the keys and values of a stretch of tokens are written where they are stored or sent:
//
//   uniform(4, group=32)      forms, of each head by itself; `cache(…)` for keys and values apart
#pragma once

#include <string>
#include <string_view>

#include "pith/base/buffer.h"
#include "pith/kv/arrays.h"
#include "pith/kv/options.h"

namespace pith::kv {

class ChunkCoding {
 public:
  // Throws ErrorKind::kUsage with the place for anything that is no coding.
  static ChunkCoding parse(std::string_view text);
  std::string text() const { return forms_.text(); }

  // Throws ErrorKind::kUsage for heads that the coding cannot hold, kData for numbers that are not
  // finite.
  Bytes encode(const Arrays& arrays) const;

 private:
  explicit ChunkCoding(CacheOptions forms) : forms_(std::move(forms)) {}
  CacheOptions forms_;
};

// What encode() wrote, by whatever coding. Throws ErrorKind::kData with the offset where it is
// damaged.
Arrays decode_chunk(ByteView bytes);

}  // namespace pith::kv
