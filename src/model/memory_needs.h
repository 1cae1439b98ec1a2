// What a model and its sessions need of memory, and what there is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "pith/kv/options.h"
#include "pith/model/language_model.h"

namespace pith::model {

// Bytes that the process can still take; nothing where there is no limit or nobody tells.
struct MemoryLeft {
  std::optional<uint64_t> memory;     // of the machine and its control groups, without paging
  std::optional<uint64_t> addresses;  // of the limit of addresses (ulimit -v); mapped files count
};

// `root`: where /proc and /sys/fs/cgroup are.
MemoryLeft memory_left(const std::filesystem::path& root = "/");

struct MemoryNeeds {
  uint64_t weights = 0, cache = 0, rest = 0;  // bytes
  uint64_t others = 0;                        // bytes that others were promised
  uint64_t positions = 0;                     // for the cache
};
// Throws ErrorKind::kLimit, naming the model, where less is left than is needed.
void require(const MemoryNeeds& needs, const MemoryLeft& left, const std::string& model);

// Keys and values of a session of that many positions, with options about so many; the largest
// number where that is beyond it. Throws what kv::CacheOptions::tile_bits() throws.
uint64_t cache_bytes(const DecoderConfig& config, uint64_t positions,
                     const std::optional<kv::CacheOptions>& options = {}, uint64_t at_a_time = 0);

// The stream of positions that go through the layers, `chunk` at a time, and what lies between the
// matrices of a layer for `tile` of them (experts take all).
uint64_t activation_bytes(const DecoderConfig& config, uint64_t chunk, uint64_t tile);

// What the first products take for once and all: GGML's blocks are rearranged then. Their file is
// not needed in memory afterwards.
uint64_t rearranged_bytes(const DecoderWeights& weights);

}  // namespace pith::model
