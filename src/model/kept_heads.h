// Heads of keys and values that caches hold.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/model/config.h"

namespace pith::model {

// Of each layer; none where it has no attention.
inline std::vector<uint64_t> kept_heads(const DecoderConfig& config) {
  std::vector<uint64_t> heads;
  for (uint32_t l = 0; l < config.layers; ++l) heads.push_back(config.sizes(l).kv_heads);
  return heads;
}

}  // namespace pith::model
