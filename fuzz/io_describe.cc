// describe() on any bytes under any name.
//
// The first byte chooses the file name (formats without a magic go by its extension), the rest is
// the file. Asserted, beyond what the sanitizers see:
//   - describe() returns: nothing is thrown for content;
//   - regions ascend, do not overlap, lie inside the file, have the size of their type and shape,
//     and have unique names, in the file and in every companion;
//   - companions and parts are relative paths that do not climb out of the folder;
//   - the same bytes are described the same way again.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "pith/io/layout.h"

namespace {

using pith::io::TensorRegion;

constexpr std::array kNames = {"m.safetensors", "m.gguf",     "m.npy",   "m.npz",
                               "m.pt",          "m.onnx",     "m.fvecs", "m.bvecs",
                               "m.ivecs",       "model.json", "m"};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

void check_regions(const std::vector<TensorRegion>& regions, uint64_t file_size) {
  uint64_t end = 0;
  std::vector<std::string_view> names;
  for (const TensorRegion& region : regions) {
    require(region.offset >= end, "regions ascend and do not overlap");
    require(region.offset <= file_size && region.size <= file_size - region.offset,
            "regions lie inside the file");
    require(pith::tensor_bytes(region.dtype, region.shape) == region.size,
            "a region has the size of its shape");
    end = region.offset + region.size;
    names.push_back(region.name);
  }
  std::ranges::sort(names);
  require(std::ranges::adjacent_find(names) == names.end(), "names are unique");
}

void check_path(const std::filesystem::path& path) {
  require(!path.empty() && path.is_relative(), "paths are relative");
  require(std::ranges::find(path, "..") == path.end(), "paths stay below the folder");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const char* name = kNames[data[0] % kNames.size()];
  const pith::ByteView file(data + 1, size - 1);
  const auto description = pith::io::describe(file, name);
  check_regions(description.layout.tensors, file.size());
  for (const auto& companion : description.companions) {
    check_path(companion.path);
    check_regions(companion.tensors, UINT64_MAX);
    check_regions(pith::io::layout_of(companion, size).tensors, size);
  }
  for (const auto& part : description.parts) check_path(part);
  const auto again = pith::io::describe(file, name);
  require(again.layout.tensors == description.layout.tensors, "the same bytes, the same regions");
  require(again.layout.notes == description.layout.notes, "the same bytes, the same notes");
  return 0;
}
