// A TensorProto of ONNX, taken apart but not believed yet.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "pith/io/protobuf.h"

namespace pith::io {

struct OnnxTensorProto {
  std::string_view name;
  std::vector<uint64_t> dims;
  int64_t type = 0;
  bool external = false;
  // The fields that hold elements, in file order: packed ones, or one for each element. No more
  // than kMostFields are kept of those that are there.
  std::vector<ProtoField> data;
  uint64_t fields = 0;
  std::map<std::string_view, std::string_view> external_data;

  // Field numbers of elements.
  enum : uint32_t {
    kFloats = 4,
    kInt32s = 5,
    kTexts = 6,
    kInt64s = 7,
    kRaw = 9,
    kDoubles = 10,
    kUint64s = 11
  };

  static constexpr size_t kMostFields = 1 << 16;

  // The file of an external tensor, as written.
  std::string_view location() const;
  // Where in that file its bytes are, `size` of them; no value where that is not what is written.
  std::optional<uint64_t> external_range(uint64_t size) const;
};

// Throws ErrorKind::kData for what is no message, or more than 64 dimensions.
OnnxTensorProto read_onnx_tensor_proto(const ProtoField& message);

// The key and value of a StringStringEntryProto.
std::pair<std::string_view, std::string_view> read_onnx_entry(const ProtoField& message);

}  // namespace pith::io
