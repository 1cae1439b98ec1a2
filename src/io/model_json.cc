// JSON files that describe the tensors of other files: the index of a sharded model, and
// TensorFlow.js models.
#include <algorithm>
#include <set>

#include "layout_builder.h"
#include "pith/io/json.h"
#include "pith/io/names.h"
#include "pith/io/text.h"
#include "readers.h"
#include "relative_path.h"

namespace pith::io {
namespace {

constexpr uint64_t kMaxBytes = 256 << 20;

// The size at which TensorFlow.js' converters cut a group of weights into files, unless told
// otherwise. The model does not state it.
constexpr uint64_t kShardBytes = 4 << 20;

bool contains(ByteView file, std::string_view word) {
  return as_text(file).find(word) != std::string_view::npos;
}

Description read_index(const Json& root, uint64_t size) {
  LayoutBuilder layout("safetensors-index", size, LayoutBuilder::Broken::kLeave);
  const Json::Object* map = root.find("weight_map")->object();
  if (!map) fail(ErrorKind::kData, "model index: weight_map is not an object");
  std::set<std::filesystem::path> parts;
  for (const auto& [tensor, shard] : *map) {
    const auto path = shard.text() ? relative_path(*shard.text()) : std::nullopt;
    if (path) {
      parts.insert(*path);
    } else {
      layout.note("it is not in a file below this folder; that file is left out", tensor);
    }
  }
  return {layout.finish(), {}, {parts.begin(), parts.end()}};
}

// The type in which a weight is stored, which is not the type that it has in the model when the
// converter quantized it.
std::optional<DType> stored_dtype(const Json& weight) {
  const Json* quantization = weight.find("quantization");
  const Json* dtype = (quantization ? *quantization : weight).find("dtype");
  return dtype && dtype->text() ? tfjs_dtype(*dtype->text()) : std::nullopt;
}

// The weights of a group, one after another as in the concatenation of its files.
std::vector<TensorRegion> weights_of(const Json& group, LayoutBuilder& layout) {
  std::vector<TensorRegion> regions;
  uint64_t at = 0;
  const Json* weights = group.find("weights");
  if (!weights || !weights->array()) fail(ErrorKind::kData, "tfjs: a group has no weights");
  for (const Json& weight : *weights->array()) {
    const Json* name = weight.find("name");
    if (!name || !name->text()) fail(ErrorKind::kData, "tfjs: a weight has no name");
    const auto dtype = stored_dtype(weight);
    if (!dtype) {
      // Strings have no size that could be known without reading them.
      layout.note("its type is unknown; it and the rest of its file stay plain bytes",
                  *name->text());
      break;
    }
    TensorRegion region{*name->text(), *dtype, numbers(weight.find("shape"), "tfjs: shape"), at};
    const auto size = tensor_bytes(region.dtype, region.shape);
    if (!size) fail(ErrorKind::kData, "tfjs: weight {} is too large", in_quotes(region.name));
    region.size = *size;
    at = checked_add(at, region.size);
    regions.push_back(std::move(region));
  }
  return regions;
}

// The part of a weight that lies in one file, [begin, end) of the group, cut to whole elements.
TensorRegion piece(const TensorRegion& weight, uint64_t begin, uint64_t end) {
  const uint64_t width = info(weight.dtype).block_bytes;
  const uint64_t low = std::max(weight.offset, begin) - weight.offset;
  const uint64_t first = (low + width - 1) / width;
  const uint64_t last = (std::min(weight.offset + weight.size, end) - weight.offset) / width;
  TensorRegion region = weight;
  region.offset = weight.offset + first * width - begin;
  region.size = (last - first) * width;
  if (region.size != weight.size) {
    region.name += fmt::format("[{}:{}]", first, last);
    region.shape = {last - first};
  }
  return region;
}

void add_files(const std::vector<TensorRegion>& weights,
               const std::vector<std::filesystem::path>& paths, Description& out,
               LayoutBuilder& layout) {
  const uint64_t total = weights.empty() ? 0 : weights.back().offset + weights.back().size;
  const bool guessed = paths.size() > 1;
  if (guessed && (total + kShardBytes - 1) / kShardBytes != paths.size()) {
    layout.note("its group is cut into files of unusual size, which stay plain bytes",
                paths.front().string());
    for (const auto& path : paths) out.companions.push_back({path, {}});
    return;
  }
  size_t next = 0;
  for (size_t k = 0; k < paths.size(); ++k) {
    const uint64_t begin = k * kShardBytes;
    const uint64_t end = guessed ? std::min(total, begin + kShardBytes) : total;
    Companion companion{paths[k], {}};
    for (; next < weights.size() && weights[next].offset <= end; ++next) {
      const TensorRegion& weight = weights[next];
      const TensorRegion region = piece(weight, begin, end);
      if (region.size > 0 || weight.size == 0) companion.tensors.push_back(region);
      if (weight.offset + weight.size > end) break;  // goes on in the next file
    }
    out.companions.push_back(settled(companion, layout));
  }
}

std::vector<std::filesystem::path> paths_of(const Json& group) {
  const Json* list = group.find("paths");
  if (!list || !list->array()) fail(ErrorKind::kData, "tfjs: a group has no paths");
  std::vector<std::filesystem::path> paths;
  for (const Json& item : *list->array()) {
    const auto path = item.text() ? relative_path(*item.text()) : std::nullopt;
    if (!path) fail(ErrorKind::kData, "tfjs: a weight file is not below this folder");
    paths.push_back(*path);
  }
  return paths;
}

Description read_tfjs(const Json& root, uint64_t size) {
  LayoutBuilder layout("tfjs", size, LayoutBuilder::Broken::kLeave);
  Description out;
  std::set<std::filesystem::path> used;
  const Json::Array* groups = root.find("weightsManifest")->array();
  if (!groups) fail(ErrorKind::kData, "tfjs: weightsManifest is not an array");
  for (const Json& group : *groups) {
    const auto paths = paths_of(group);
    for (const auto& path : paths) {
      if (!used.insert(path).second) fail(ErrorKind::kData, "tfjs: a weight file is named twice");
    }
    add_files(weights_of(group, layout), paths, out, layout);
  }
  for (const char* key : {"format", "generatedBy", "convertedBy"}) {
    const Json* value = root.find(key);
    if (value && value->text()) layout.metadata(key, *value->text());
  }
  out.layout = layout.finish();
  return out;
}

}  // namespace

bool looks_like_model_json(ByteView file, const std::filesystem::path&) {
  if (file.size() > kMaxBytes) return false;
  const size_t first = as_text(file).find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || file[first] != '{') return false;
  return contains(file, "\"weight_map\"") || contains(file, "\"weightsManifest\"");
}

Description read_model_json(ByteView file, const std::filesystem::path&) {
  const Json root = parse_json(file, "model description");
  if (root.find("weight_map")) return read_index(root, file.size());
  if (root.find("weightsManifest")) return read_tfjs(root, file.size());
  return {};
}

}  // namespace pith::io
