// The tokens of one head that lie in forms.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/form.h"
#include "pith/kv/options.h"

namespace pith::kv {

class Past {
 public:
  // The next tile. keys, values: kTileTokens rows of head_size channels, one after the other.
  // Throws ErrorKind::kData where one is not finite.
  void add(const CacheOptions& options, const float* keys, const float* values, uint64_t head_size);

  uint64_t tiles() const { return tiles_.size(); }
  // keys: [channel][token of the tile]; values: [token][channel], rows of `padded` floats, of which
  // those past the channels are left alone.
  void load(uint64_t tile, float* keys, float* values, uint64_t padded) const;
  // What write() of all forms would take.
  uint64_t bits() const;
  void clear() { tiles_.clear(); }

 private:
  struct Tile {
    form::FormPtr keys, values;
    By keys_by = By::kChannel, values_by = By::kToken;
  };
  std::vector<Tile> tiles_;
};

}  // namespace pith::kv
