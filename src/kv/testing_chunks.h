// Chunks for tests.
#pragma once

#include <vector>

#include "pith/base/random.h"
#include "pith/kv/chunk.h"

namespace pith::kv::testing {

// Keys and values of three layers, the second without heads.
inline Arrays some_arrays(uint64_t tokens, uint64_t first = 0) {
  Arrays a{.heads = {2, 0, 1}, .first = first, .tokens = tokens, .head_size = 20};
  for (uint64_t i = 0; i < a.size(); ++i) {
    a.keys.push_back(static_cast<float>(random_normal(1, first + i)));
    a.values.push_back(static_cast<float>(random_normal(2, first + i)));
  }
  return a;
}

inline std::vector<int32_t> some_ids(uint64_t count) {
  std::vector<int32_t> ids(count);
  for (uint64_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>(random_bits(3, i) % 1000);
  return ids;
}

inline const ChunkCoding& plain_coding() {
  static const ChunkCoding coding = ChunkCoding::parse("cache(keys=dense(f32), values=dense(f32))");
  return coding;
}

inline ChunkMaker some_maker(uint8_t model = 1) {
  ChunkMaker maker{.model = {}, .coding = plain_coding().text()};
  maker.model.bytes[0] = model;
  return maker;
}

// The first chunk of a text.
inline Bytes some_chunk(const std::vector<int32_t>& ids, uint8_t model = 1) {
  const ChunkMaker maker = some_maker(model);
  return write_chunk(maker, plain_coding(), chain_root(maker), ids, some_arrays(ids.size()));
}

}  // namespace pith::kv::testing
