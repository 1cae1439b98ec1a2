// GGUF files of equal types, by llama.cpp's quantizer and by Pith's fitters, both run by llama.cpp.
#pragma once

#include <filesystem>

#include "bench_report.h"
#include "bench_weights.h"

namespace pith::bench {

// Files go to `folder`, llama.cpp's as PeerQuantizer's. Of --files a pattern for the mixes of
// types.
void bench_gguf(const Options& options, const WeightInputs& inputs, uint64_t importance_windows,
                const std::filesystem::path& folder, Report& report);

}  // namespace pith::bench
