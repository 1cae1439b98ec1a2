#include "pith/model/weight_source.h"

#include <fstream>

#include "pith/base/error.h"
#include "weight_files.h"

namespace pith::model {
namespace {

bool begins_as_gguf(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  char magic[4] = {};
  in.read(magic, sizeof magic);
  return in && std::string_view(magic, sizeof magic) == "GGUF";
}

}  // namespace

std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    fail(ErrorKind::kIo, "{}: no such file or folder", path.string());
  }
  if (std::filesystem::is_directory(path)) return open_hf_folder(path);
  if (begins_as_gguf(path)) return open_gguf(path);
  if (path.extension() == ".safetensors" || path.extension() == ".json") {
    const bool json = path.extension() == ".json";
    return open_hf_folder(path.has_parent_path() ? path.parent_path() : ".",
                          json ? std::filesystem::path() : path);
  }
  fail(ErrorKind::kData, "{}: it is neither a GGUF file, nor safetensors, nor a model's folder",
       path.string());
}

}  // namespace pith::model
