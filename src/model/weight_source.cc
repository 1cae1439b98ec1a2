#include "pith/model/weight_source.h"

#include <fstream>

#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "weight_files.h"

namespace pith::model {
namespace {

// The bytes that formats are known by.
std::string beginning(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes(64, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  return bytes;
}

}  // namespace

bool is_gguf(const std::filesystem::path& path) { return beginning(path).starts_with("GGUF"); }

std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    fail(ErrorKind::kIo, "{}: no such file or folder", path.string());
  }
  if (std::filesystem::is_directory(path)) return open_hf_folder(path);
  const std::string begins = beginning(path);
  if (begins.starts_with("GGUF")) return open_gguf(path);
  if (archive::Archive::is_archive(as_bytes(begins))) return open_archive(path);
  if (path.extension() == ".safetensors" || path.extension() == ".json") {
    const bool json = path.extension() == ".json";
    return open_hf_folder(path.has_parent_path() ? path.parent_path() : ".",
                          json ? std::filesystem::path() : path);
  }
  fail(ErrorKind::kData,
       "{}: it is neither a GGUF file, nor safetensors, nor an archive, nor a model's folder",
       path.string());
}

}  // namespace pith::model
