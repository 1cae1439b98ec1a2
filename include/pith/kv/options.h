// How a cache of keys and values holds the tokens that its window has left behind:
//
//   uniform(4, group=32)                                              keys and values alike
//   cache(keys=uniform(4, group=64), values=uniform(2, group=32), window=128, sink=4)
//   cache(keys=hadamard | uniform(3, group=32), keys_by=token, values=uniform(3, group=32))
//
// Tokens go by tiles of kTileTokens. Keys are as attention takes them, after the rotation by their
// positions, so that whatever is left out of a cache, positions stay what they were.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pith/form/expression.h"

namespace pith::kv {

inline constexpr uint64_t kTileTokens = 128;

// What a row of the matrix is that a form holds of a tile: a channel, over all of its tokens (keys
// have channels of their own size: KIVI, Liu et al. 2024), or a token, over all channels.
enum class By : uint8_t { kChannel, kToken };

struct Coding {
  form::Expression form;
  By by = By::kToken;
};

struct CacheOptions {
  Coding keys, values;
  uint64_t window = 128;  // the latest tokens that stay as they are, at least
  uint64_t sink = 0;      // the first tokens that stay in f16 (StreamingLLM: Xiao et al. 2023)

  // Throws ErrorKind::kUsage with the place for anything that is no cache. Whether forms fit the
  // model's heads, tile_bits() says.
  static CacheOptions parse(std::string_view text);
  std::string text() const;
  // What a tile of one head takes, of numbers drawn at random. Throws what form::encode() throws
  // for forms that heads of this size cannot have.
  uint64_t tile_bits(uint64_t head_size) const;
};

}  // namespace pith::kv
