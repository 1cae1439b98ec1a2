#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "pith/io/names.h"
#include "pith/io/text.h"
#include "pith/io/write.h"

namespace pith::io {
namespace {

// As serde_json writes it: without spaces, only quotes, backslashes and control characters escaped.
std::string json_text(const std::string& text) {
  if (utf8(text) != text) fail(ErrorKind::kUsage, "safetensors: {} is not UTF-8", in_quotes(text));
  return nlohmann::json(text).dump();
}

uint64_t size_of(const TensorInfo& tensor) {
  const auto size = tensor_bytes(tensor.dtype, tensor.shape);
  if (!size) {
    fail(ErrorKind::kUsage, "safetensors: tensor {} is not a whole number of bytes",
         in_quotes(tensor.name));
  }
  return *size;
}

std::string metadata_text(const Metadata& metadata) {
  std::string text = "\"__metadata__\":{";
  for (size_t k = 0; k < metadata.size(); ++k) {
    if (k) text += ',';
    text += json_text(metadata[k].first) + ":" + json_text(metadata[k].second);
  }
  return text + "}";
}

std::string entry_text(const TensorInfo& tensor, uint64_t begin, uint64_t end) {
  return fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                     json_text(tensor.name), safetensors_name(tensor.dtype),
                     fmt::join(tensor.shape, ","), begin, end);
}

void check_names(std::span<const TensorInfo> tensors) {
  std::vector<std::string_view> names{"__metadata__"};
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) {
    fail(ErrorKind::kUsage, "safetensors: the name {} is already in use", in_quotes(*twice));
  }
}

}  // namespace

std::vector<size_t> safetensors_order(std::span<const TensorInfo> tensors) {
  for (const TensorInfo& tensor : tensors) {
    if (safetensors_rank(tensor.dtype) < 0) {
      fail(ErrorKind::kUsage, "safetensors has no type {}, which tensor {} has",
           info(tensor.dtype).name, in_quotes(tensor.name));
    }
  }
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t k) {
    return std::pair(-safetensors_rank(tensors[k].dtype), std::string_view(tensors[k].name));
  });
  return order;
}

Bytes safetensors_header(std::span<const TensorInfo> tensors, const Metadata& metadata) {
  check_names(tensors);
  std::string text = "{";
  if (!metadata.empty()) text += metadata_text(metadata);
  uint64_t at = 0;
  for (const size_t k : safetensors_order(tensors)) {
    const uint64_t end = checked_add(at, size_of(tensors[k]));
    if (text.size() > 1) text += ',';
    text += entry_text(tensors[k], at, end);
    at = end;
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  Bytes out;
  out.reserve(256);
  ByteWriter writer(out);
  writer.u64(text.size());
  writer.bytes(as_bytes(text));
  return out;
}

}  // namespace pith::io
