// The files that open_weights() tells apart.
#pragma once

#include <filesystem>
#include <memory>

#include "pith/model/weight_source.h"

namespace pith::model {

// A folder with config.json and safetensors. `file`: the one to take where no index lists it;
// empty: model.safetensors, or the only one there is.
std::unique_ptr<WeightSource> open_hf_folder(const std::filesystem::path& folder,
                                             const std::filesystem::path& file = {});

// A GGUF file, or the first of a set of them.
std::unique_ptr<WeightSource> open_gguf(const std::filesystem::path& path);

}  // namespace pith::model
