#include <array>

#include "layout_builder.h"
#include "pith/io/layout.h"
#include "readers.h"

namespace pith::io {
namespace {

struct Reader {
  bool (*looks_like)(ByteView, const std::filesystem::path&);
  Description (*read)(ByteView, const std::filesystem::path&);
};

// Formats with a magic first; ONNX, which has none, is tried when all of them say no.
constexpr std::array kReaders = {
    Reader{looks_like_gguf, read_gguf},
    Reader{looks_like_npy, read_npy},
    Reader{looks_like_zip, read_zip},
    Reader{looks_like_old_pytorch, read_old_pytorch},
    Reader{looks_like_safetensors, read_safetensors},
    Reader{looks_like_model_json, read_model_json},
    Reader{looks_like_vectors, read_vectors},
    Reader{looks_like_onnx, read_onnx},
};

}  // namespace

Description describe(ByteView file, const std::filesystem::path& name) {
  Description plain;
  for (const Reader& reader : kReaders) {
    // Whatever a hostile file provokes, the file is still storable as plain bytes.
    try {
      if (reader.looks_like(file, name)) return reader.read(file, name);
    } catch (const std::exception& error) {
      plain.layout.notes.emplace_back(error.what());
    }
  }
  return plain;
}

Layout layout_of(const Companion& companion, uint64_t file_size) {
  LayoutBuilder builder("companion", file_size, LayoutBuilder::Broken::kLeave);
  for (const TensorRegion& region : companion.tensors) builder.add(region, region.size);
  return builder.finish();
}

}  // namespace pith::io
