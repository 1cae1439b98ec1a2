// safetensors: 8 bytes of header length, a JSON header, then the tensors.
#include "layout_builder.h"
#include "pith/io/json.h"
#include "pith/io/names.h"
#include "pith/io/text.h"
#include "readers.h"

namespace pith::io {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the safetensors library's own limit

ByteView header_of(ByteView file) {
  ByteReader reader(file, "safetensors");
  const uint64_t size = reader.u64();
  if (size > kMaxHeader) reader.bad("the header is longer than the format allows");
  return reader.bytes(size);
}

void add_metadata(LayoutBuilder& layout, const Json& values) {
  if (!values.object()) fail(ErrorKind::kData, "safetensors: __metadata__ is not an object");
  for (const auto& [key, value] : *values.object()) {
    if (!value.text()) fail(ErrorKind::kData, "safetensors: __metadata__ holds more than text");
    layout.metadata(key, *value.text());
  }
}

void add_tensor(LayoutBuilder& layout, const Json::Member& entry, uint64_t data_start) {
  const auto& [name, value] = entry;
  const Json* dtype = value.find("dtype");
  if (!dtype || !dtype->text()) fail(ErrorKind::kData, "tensor {}: no dtype", in_quotes(name));
  const auto range = numbers(value.find("data_offsets"), "safetensors: data_offsets");
  if (range.size() != 2 || range[0] > range[1]) {
    fail(ErrorKind::kData, "tensor {}: data_offsets are not a range", in_quotes(name));
  }
  TensorRegion region;
  region.name = name;
  region.shape = numbers(value.find("shape"), "safetensors: shape");
  region.offset = checked_add(data_start, range[0]);
  const auto known = safetensors_dtype(*dtype->text());
  if (!known) {
    return layout.note(
        fmt::format("the type {} is unknown; it stays plain bytes", in_quotes(*dtype->text())),
        name);
  }
  region.dtype = *known;
  layout.add(std::move(region), range[1] - range[0]);
}

}  // namespace

bool looks_like_safetensors(ByteView file, const std::filesystem::path& name) {
  if (name.extension() == ".safetensors") return true;
  return file.size() > 8 && load_le<uint64_t>(file.data()) <= file.size() - 8 && file[8] == '{';
}

Description read_safetensors(ByteView file, const std::filesystem::path&) {
  const ByteView header = header_of(file);
  const Json root = parse_json(header, "safetensors header");
  if (!root.object()) fail(ErrorKind::kData, "safetensors: the header is not an object");
  LayoutBuilder layout("safetensors", file.size(), LayoutBuilder::Broken::kRefuse);
  for (const Json::Member& member : *root.object()) {
    if (member.name == "__metadata__") {
      add_metadata(layout, member.value);
    } else {
      add_tensor(layout, member, 8 + header.size());
    }
  }
  return {layout.finish(), {}, {}};
}

}  // namespace pith::io
