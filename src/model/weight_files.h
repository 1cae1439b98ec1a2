// The files that open_weights() tells apart.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "named_tensors.h"
#include "pith/model/model_folder.h"
#include "pith/model/weight_source.h"

namespace pith::model {

// Adds the tensors of one file of a model.
using AddTensors = std::function<void(const std::string& name, NamedTensors& to)>;

// Files as Hugging Face lays them out: config.json and safetensors. `file`: the one to take where
// no index lists it; empty: model.safetensors, or the only one there is.
std::unique_ptr<WeightSource> open_hf(std::unique_ptr<const ModelFolder> folder, AddTensors add,
                                      const std::string& file = {});
std::unique_ptr<WeightSource> open_hf_folder(const std::filesystem::path& folder,
                                             const std::filesystem::path& file = {});

// An archive of either kind of model; its tensors run in the forms in which they are stored, those
// that are stored losslessly are decoded.
std::unique_ptr<WeightSource> open_archive(const std::filesystem::path& path);

// A GGUF file, or the first of a set of them.
std::unique_ptr<WeightSource> open_gguf(const std::filesystem::path& path);

// The metadata and tensors of a GGUF file that is elsewhere than on disk.
std::unique_ptr<WeightSource> open_gguf(std::string where, ByteView header,
                                        const std::function<void(NamedTensors& to)>& add);

}  // namespace pith::model
