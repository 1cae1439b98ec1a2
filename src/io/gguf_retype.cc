#include "pith/io/gguf_retype.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "gguf_source.h"
#include "pith/base/error.h"
#include "pith/io/gguf_metadata.h"
#include "pith/io/names.h"

namespace pith::io {
namespace {

uint64_t aligned(uint64_t at, uint64_t alignment) {
  return checked_add(at, alignment - 1) / alignment * alignment;
}

// Where the type of each tensor stands in the header; its offset follows. `in` is behind the
// counts.
std::map<std::string_view, uint64_t> places_of_types(GgufSource& in, uint64_t tensors,
                                                     uint64_t pairs) {
  for (uint64_t k = 0; k < pairs; ++k) {
    in.string();
    skip_gguf_items(in, {in.u32(), 1}, 0);
  }
  std::map<std::string_view, uint64_t> places;
  for (uint64_t k = 0; k < tensors; ++k) {
    const std::string_view name = in.string();
    in.skip(checked_mul(in.u32(), in.length_bytes()));
    places[name] = in.offset();
    in.skip(sizeof(uint32_t) + sizeof(uint64_t));
  }
  return places;
}

void place(TensorRegion& tensor, uint64_t at) {
  const auto size = tensor_bytes(tensor.dtype, tensor.shape);
  const uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (!size || row % info(tensor.dtype).block_elements != 0 || !gguf_type(tensor.dtype)) {
    fail(ErrorKind::kUsage, "gguf: tensor {} cannot be {}", in_quotes(tensor.name),
         info(tensor.dtype).name);
  }
  tensor.offset = at;
  tensor.size = *size;
}

}  // namespace

Bytes retype_gguf(ByteView file, std::vector<TensorRegion>& tensors) {
  GgufSource in(file);
  if (in.big_endian()) fail(ErrorKind::kUsage, "gguf: the file is big-endian");
  const uint64_t count = in.length(), pairs = in.length();
  const auto places = places_of_types(in, count, pairs);
  const GgufMetadata metadata = read_gguf_metadata(file);
  const auto* asked = find_as<uint32_t>(metadata, "general.alignment");
  const uint64_t alignment = asked && *asked != 0 ? *asked : 32;
  const uint64_t begin = aligned(in.offset(), alignment);
  if (places.size() != tensors.size() || begin > file.size()) {
    fail(ErrorKind::kData, "gguf: it does not have these {} tensors", tensors.size());
  }
  Bytes header(file.begin(), file.begin() + static_cast<ptrdiff_t>(begin));
  uint64_t at = begin;
  for (TensorRegion& tensor : tensors) {
    const auto found = places.find(tensor.name);
    if (found == places.end()) {
      fail(ErrorKind::kData, "gguf: there is no tensor {}", in_quotes(tensor.name));
    }
    place(tensor, at);
    store_le(header.data() + found->second, *gguf_type(tensor.dtype));
    store_le(header.data() + found->second + sizeof(uint32_t), at - begin);
    at = aligned(checked_add(at, tensor.size), alignment);
  }
  return header;
}

}  // namespace pith::io
