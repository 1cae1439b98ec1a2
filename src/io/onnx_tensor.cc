#include "onnx_tensor.h"

#include <charconv>

#include "pith/io/text.h"

namespace pith::io {
namespace {

constexpr size_t kMaxDimensions = 64;

void add_dim(OnnxTensorProto& tensor, uint64_t dim) {
  if (tensor.dims.size() == kMaxDimensions) fail(ErrorKind::kData, "onnx: too many dimensions");
  tensor.dims.push_back(dim);
}

void add_dims(OnnxTensorProto& tensor, const ProtoField& field) {
  if (field.wire == ProtoField::kVarint) return add_dim(tensor, field.value);
  for (ByteReader packed(field.bytes, "onnx dims"); !packed.empty();) {
    add_dim(tensor, packed.varint());
  }
}

std::optional<uint64_t> number(std::string_view text, uint64_t otherwise) {
  if (text.empty()) return otherwise;
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

}  // namespace

std::string_view OnnxTensorProto::location() const {
  const auto at = external_data.find("location");
  return at == external_data.end() ? std::string_view() : at->second;
}

std::optional<uint64_t> OnnxTensorProto::external_range(uint64_t size) const {
  const auto value = [&](std::string_view key) {
    const auto at = external_data.find(key);
    return at == external_data.end() ? std::string_view() : at->second;
  };
  const auto offset = number(value("offset"), 0);
  return number(value("length"), size) == size ? offset : std::nullopt;
}

std::pair<std::string_view, std::string_view> read_onnx_entry(const ProtoField& message) {
  std::pair<std::string_view, std::string_view> entry;
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    if (field.number == 1) entry.first = as_text(field.bytes);
    if (field.number == 2) entry.second = as_text(field.bytes);
  }
  return entry;
}

OnnxTensorProto read_onnx_tensor_proto(const ProtoField& message) {
  OnnxTensorProto tensor;
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    switch (field.number) {
      case 1:
        add_dims(tensor, field);
        break;
      case 2:
        tensor.type = static_cast<int64_t>(field.value);
        break;
      case OnnxTensorProto::kFloats:
      case OnnxTensorProto::kInt32s:
      case OnnxTensorProto::kTexts:
      case OnnxTensorProto::kInt64s:
      case OnnxTensorProto::kRaw:
      case OnnxTensorProto::kDoubles:
      case OnnxTensorProto::kUint64s:
        if (tensor.data.size() < OnnxTensorProto::kMostFields) tensor.data.push_back(field);
        ++tensor.fields;
        break;
      case 8:
        tensor.name = as_text(field.bytes);
        break;
      case 13:
        tensor.external_data.insert(read_onnx_entry(field));
        break;
      case 14:
        tensor.external = field.value == 1;
        break;
      default:
        break;
    }
  }
  return tensor;
}

}  // namespace pith::io
