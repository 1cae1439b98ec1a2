// Language models for benchmarks, made once and kept.
#pragma once

#include <filesystem>
#include <string>

#include "pith/base/dtype.h"

namespace pith::bench {

// A GGUF file of the shape of Llama 3.2 1B with a vocabulary of 32,000 and random weights with
// rows of different size and heavy tails; every matrix in the type. All layers have the same
// rows, each in its own place and order. Nothing happens where the file is there.
void make_billion(DType type, const std::filesystem::path& file);

// An archive of that file with every matrix in the form.
void make_billion_form(const std::string& expression, const std::filesystem::path& source,
                       const std::filesystem::path& file);

}  // namespace pith::bench
