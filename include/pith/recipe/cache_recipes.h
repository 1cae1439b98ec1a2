// Published ways to hold keys and values, as caches under a name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/kv/chunk_coding.h"
#include "pith/kv/options.h"

namespace pith::recipe {

struct CacheRecipe {
  std::string_view name;   // "streaming"
  std::string_view id;     // of the paper in Pith's list; its name where it has none
  std::string_view title;  // of the paper
  std::string_view summary;
  // In the notation of caches (pith/kv/options.h), or of what is stored and sent
  // (pith/kv/chunk_coding.h).
  std::string_view compose;
  std::string_view waits;               // what of the paper is not here; empty: nothing
  std::vector<std::string_view> parts;  // headers below include/pith
  std::string_view verified;            // how, with what came out
  bool of_chunks = false;               // `compose` is a coding of chunks
  // Where `compose` has $profile: what `pith kv profile` is to make of the model.
  std::string_view profile = {};

  // A command that shows it.
  std::string example() const;
};

// All of them, by name.
std::span<const CacheRecipe> all_cache_recipes();
// By name or id; null if there is none.
const CacheRecipe* find_cache_recipe(std::string_view name_or_id);

// The cache that a name, an id or an expression stands for; `budget` ("25%", "256") in place of its
// own, where it is not empty; `profile`, a path, for $profile. Throws ErrorKind::kUsage for what is
// none of these, for a budget of a cache that leaves no tokens out, and for a profile that is
// missing or that nothing asks for; kIo and kData for one that cannot be read.
kv::CacheOptions cache_options(std::string_view text, std::string_view budget = {},
                               const std::string& profile = {});
// Whether that needs a profile.
bool needs_profile(std::string_view text);
// Whether a name, an id or an expression stands for a coding of chunks that no session holds.
bool codes_chunks(std::string_view text);
// The coding of chunks that a name, an id or an expression stands for; `profile` as above. Throws
// ErrorKind::kUsage for what is none of these, and for a profile as above.
kv::ChunkCoding chunk_coding(std::string_view text, const std::string& profile = {});

}  // namespace pith::recipe
