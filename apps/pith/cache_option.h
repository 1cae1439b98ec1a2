// --kv of the commands that run language models, with --kv-budget and --kv-profile.
#pragma once

#include <optional>
#include <string>

#include "pith/kv/options.h"
#include "pith/model/language_model.h"

namespace pith::command {

// The cache that --kv, --kv-budget and --kv-profile say; nothing for an empty text. Errors name the
// option.
std::optional<kv::CacheOptions> cache_of(const std::string& text, const std::string& budget = {},
                                         const std::string& profile = {});
// Throws, before the model reads, what its sessions would throw of the cache that `text` says.
void check_cache(const model::LanguageModel& model, const std::string& text,
                 const std::optional<kv::CacheOptions>& cache);
// Says where a share of all that can be read will be less than what stays in any case.
void warn_of_budget(const std::optional<kv::CacheOptions>& cache, const std::string& budget,
                    uint64_t positions);

}  // namespace pith::command
