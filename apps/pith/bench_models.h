// Language models for benchmarks, made once and kept.
#pragma once

#include <filesystem>

#include "pith/base/dtype.h"

namespace pith::bench {

// A GGUF file of the shape of Llama 3.2 1B with a vocabulary of 32,000 and random weights with
// rows of different size and heavy tails; every matrix in the type. All layers have the same
// numbers, each in its own place. Nothing happens where the file is there.
void make_billion(DType type, const std::filesystem::path& file);

}  // namespace pith::bench
