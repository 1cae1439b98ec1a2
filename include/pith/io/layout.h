// Where the tensors of a file lie.
//
// Every format comes back bit for bit because Pith never rebuilds a file from its meaning: a
// reader only says which byte ranges are tensors of which type and shape; the bytes between them
// (headers, metadata, padding, and whatever else stands there) are kept as they are. A file that
// no reader understands, or that breaks its format's rules, is one range of plain bytes, with a
// note that says why; it is still stored.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/dtype.h"

namespace pith::io {

struct TensorRegion {
  std::string name;  // UTF-8 as in the file; unique within the file
  DType dtype = DType::kBytes;
  std::vector<uint64_t> shape;  // outermost dimension first, whatever order the file writes
  uint64_t offset = 0;          // bytes from the beginning of the file
  uint64_t size = 0;            // bytes; tensor_bytes(dtype, shape), and within the file
  bool big_endian = false;      // elements are stored most significant byte first
  bool operator==(const TensorRegion&) const = default;
};

struct Layout {
  std::string format =
      "bytes";  // "safetensors", "gguf", "npy", "npz", "onnx", "pytorch", "fvecs", …
  std::vector<TensorRegion> tensors;  // ascending offset, never overlapping
  // Human-readable metadata of the file (safetensors __metadata__, GGUF keys as text, …), in file
  // order.
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::string> notes;  // why something was left as plain bytes
};

// A file that belongs to another one and gets its layout from there (ONNX external data).
struct Companion {
  std::filesystem::path path;  // relative to the folder of the file that names it
  std::vector<TensorRegion> tensors;
};

struct Description {
  Layout layout;
  std::vector<Companion> companions;
  // Other files that make one model together with this one (the shards that a
  // model.safetensors.index.json lists), relative to its folder; each describes itself.
  std::vector<std::filesystem::path> parts;
};

// Finds the format from the content (the name only breaks ties: fvecs/bvecs/ivecs have no magic)
// and describes the file. Never throws for content: what cannot be read becomes plain bytes with a
// note. Time and memory are bounded by the size of the file's own headers.
Description describe(ByteView file, const std::filesystem::path& name);

// The layout of a companion once its real size is known: the file that names it could not know, so
// regions that reach past the end are left as plain bytes with a note.
Layout layout_of(const Companion& companion, uint64_t file_size);

}  // namespace pith::io
