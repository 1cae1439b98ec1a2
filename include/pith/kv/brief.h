// Caches and codings as people read them.
#pragma once

#include <string>
#include <string_view>

namespace pith::kv {

// What CacheOptions, StreamOptions and ChunkCoding print, without the arguments that are what they
// are when nobody says; it is read as the same. Anything else stays as it is.
std::string brief(std::string_view text);

}  // namespace pith::kv
