// The tokens of one head that lie in forms.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/form.h"
#include "pith/kv/options.h"

namespace pith::kv {

class Past {
 public:
  // The next tile, of 1 to kTileTokens tokens. keys, values: `count` rows of head_size channels,
  // one after the other. Throws ErrorKind::kData where one is not finite.
  void add(const CacheOptions& options, const float* keys, const float* values, uint64_t count,
           uint64_t head_size);

  uint64_t tiles() const { return tiles_.size(); }
  // Tokens of a tile, and of all tiles before it.
  uint64_t count(uint64_t tile) const { return tiles_[tile].count; }
  uint64_t first(uint64_t tile) const { return tiles_[tile].first; }
  // Of all tiles.
  uint64_t tokens() const { return tiles_.empty() ? 0 : tiles_.back().first + tiles_.back().count; }
  // keys: [channel][token of the tile], channels kTileTokens apart; values: [token][channel], rows
  // of `padded` floats, of which those past the channels are left alone.
  void load(uint64_t tile, float* keys, float* values, uint64_t padded) const;
  // What write() of all forms would take.
  uint64_t bits() const;
  void clear() { tiles_.clear(); }

 private:
  struct Tile {
    uint64_t first = 0, count = 0;
    form::FormPtr keys, values;
    By keys_by = By::kChannel, values_by = By::kToken;
  };
  std::vector<Tile> tiles_;
};

}  // namespace pith::kv
