// ONNX: the weights in a ModelProto, found by walking its wire format. Field numbers: onnx.proto3.
#include <charconv>
#include <map>
#include <optional>

#include "layout_builder.h"
#include "pith/io/names.h"
#include "pith/io/protobuf.h"
#include "pith/io/text.h"
#include "readers.h"
#include "relative_path.h"

namespace pith::io {
namespace {

constexpr int kMaxDepth = 50;  // of graphs within graphs; protobuf itself stops at 100 messages
constexpr size_t kMaxDimensions = 64;

// A TensorProto, taken apart. Fields that hold elements are absent where the tensor has none.
struct TensorProto {
  std::string_view name;
  std::vector<uint64_t> dims;
  int64_t type = 0;
  bool external = false, raw = false, packed_varints = false;
  std::optional<ProtoField> data;  // raw_data, float_data or double_data
  std::map<std::string_view, std::string_view> external_data;
};

void add_dim(TensorProto& tensor, uint64_t dim) {
  if (tensor.dims.size() == kMaxDimensions) fail(ErrorKind::kData, "onnx: too many dimensions");
  tensor.dims.push_back(dim);
}

void add_dims(TensorProto& tensor, const ProtoField& field) {
  if (field.wire == ProtoField::kVarint) return add_dim(tensor, field.value);
  for (ByteReader packed(field.bytes, "onnx dims"); !packed.empty();) {
    add_dim(tensor, packed.varint());
  }
}

// StringStringEntryProto
std::pair<std::string_view, std::string_view> read_entry(const ProtoField& message) {
  std::pair<std::string_view, std::string_view> entry;
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    if (field.number == 1) entry.first = as_text(field.bytes);
    if (field.number == 2) entry.second = as_text(field.bytes);
  }
  return entry;
}

// Elements in a packed field of fixed width. Written in several pieces, they are no one range.
void set_data(TensorProto& tensor, const ProtoField& field) {
  tensor.packed_varints |= field.wire != ProtoField::kBytes || tensor.data.has_value();
  tensor.raw |= field.number == 9;
  tensor.data = field;
}

TensorProto read_tensor(const ProtoField& message) {
  TensorProto tensor;
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    switch (field.number) {
      case 1:
        add_dims(tensor, field);
        break;
      case 2:
        tensor.type = static_cast<int64_t>(field.value);
        break;
      case 4:
      case 9:
      case 10:
        set_data(tensor, field);
        break;
      case 5:
      case 7:
      case 11:
        tensor.packed_varints = true;
        break;
      case 8:
        tensor.name = as_text(field.bytes);
        break;
      case 13:
        tensor.external_data.insert(read_entry(field));
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

class Walker {
 public:
  explicit Walker(uint64_t file_size) : layout_("onnx", file_size, LayoutBuilder::Broken::kLeave) {}

  Description run(ByteView file) {
    ProtoReader model(file, 0);
    for (ProtoField field; model.next(field);) {
      if (field.number == 7) graph(field, 0);
      if (field.number == 14) add_metadata(field);
      if (field.number == 25) graph(field, 0);  // a function: nodes as in a graph, no initializers
      if (field.number == 2) layout_.metadata("producer_name", as_text(field.bytes));
    }
    Description out;
    // Weights may share external data; the first keeps them.
    for (auto& [path, tensors] : external_) {
      out.companions.push_back(settled({path, std::move(tensors)}, layout_));
    }
    out.layout = layout_.finish();
    return out;
  }

 private:
  void add_metadata(const ProtoField& message) {
    const auto [key, value] = read_entry(message);
    layout_.metadata(key, value);
  }

  // GraphProto and FunctionProto; the fields that they do not share have other numbers.
  void graph(const ProtoField& message, int depth) {
    if (depth > kMaxDepth) fail(ErrorKind::kData, "onnx: graphs are nested too deep");
    ProtoReader reader(message);
    const bool function = depth == 0 && message.number == 25;
    for (ProtoField field; reader.next(field);) {
      if (field.wire != ProtoField::kBytes) continue;
      if (field.number == (function ? 7u : 1u)) node(field, depth);
      if (field.number == 5 && !function) initializer(field);
      if (field.number == 15 && !function) layout_.note("sparse initializers stay plain bytes");
    }
  }

  void initializer(const ProtoField& message) {
    const TensorProto tensor = read_tensor(message);
    add(tensor, std::string(tensor.name));
  }

  // The first pass learns what the node is called: its fields may stand in any order.
  void node(const ProtoField& message, int depth) {
    std::string_view name;
    ProtoReader first(message);
    for (ProtoField field; first.next(field);) {
      if (field.number == 2 && name.empty()) name = as_text(field.bytes);  // the first output
    }
    ProtoReader second(message);
    for (ProtoField field; second.next(field);) {
      if (field.number == 5 && field.wire == ProtoField::kBytes) attribute(field, name, depth);
    }
  }

  void attribute(const ProtoField& message, std::string_view node_name, int depth) {
    std::string_view name;
    ProtoReader first(message);
    for (ProtoField field; first.next(field);) {
      if (field.number == 1) name = as_text(field.bytes);
    }
    ProtoReader second(message);
    for (ProtoField field; second.next(field);) {
      if (field.wire != ProtoField::kBytes) continue;
      if (field.number == 5 || field.number == 10) {
        // "value" is what a Constant node has its tensor in.
        add(read_tensor(field),
            name == "value" ? std::string(node_name) : fmt::format("{}.{}", node_name, name));
      }
      if (field.number == 6 || field.number == 11) graph(field, depth + 1);
    }
  }

  void add(const TensorProto& tensor, std::string name) {
    if (name.empty()) name = "unnamed";
    const auto dtype = onnx_dtype(tensor.type);
    if (!dtype) {
      return layout_.note(
          fmt::format("the type {} has no fixed width; it stays plain bytes", tensor.type), name);
    }
    TensorRegion region{std::move(name), *dtype, tensor.dims};
    if (tensor.external) return add_external(tensor, std::move(region));
    if (tensor.packed_varints) {
      return layout_.note("its elements are variable-length integers; it stays plain bytes",
                          region.name);
    }
    // An empty tensor may have no data field at all.
    if (!tensor.data) return;
    if (!tensor.raw && !holds(tensor)) {
      return layout_.note("its elements are in a field of another type; it stays plain bytes",
                          region.name);
    }
    region.offset = tensor.data->offset;
    layout_.add(std::move(region), tensor.data->bytes.size());
  }

  // float_data may only hold f32 and c64, double_data only f64 and c128.
  static bool holds(const TensorProto& tensor) {
    return tensor.data->number == 4 ? tensor.type == 1 || tensor.type == 14
                                    : tensor.type == 11 || tensor.type == 15;
  }

  void add_external(const TensorProto& tensor, TensorRegion&& region) {
    const auto value = [&](std::string_view key) {
      const auto at = tensor.external_data.find(key);
      return at == tensor.external_data.end() ? std::string_view() : at->second;
    };
    const auto path = relative_path(value("location"));
    const auto offset = number(value("offset"), 0);
    const auto size = tensor_bytes(region.dtype, region.shape);
    if (!path) {
      return layout_.note("its data are not in a file below this folder", region.name);
    }
    if (!offset || !size || number(value("length"), *size) != *size) {
      return layout_.note("its external data do not match its shape; they stay plain bytes",
                          region.name);
    }
    region.offset = *offset;
    region.size = *size;
    external_[*path].push_back(std::move(region));
  }

  static std::optional<uint64_t> number(std::string_view text, uint64_t otherwise) {
    if (text.empty()) return otherwise;
    uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
  }

  LayoutBuilder layout_;
  std::map<std::filesystem::path, std::vector<TensorRegion>> external_;
};

// Wire type that each field of ModelProto has; 0xFF: the message has no such field.
uint8_t model_wire(uint32_t number) {
  switch (number) {
    case 1:
    case 5:
      return ProtoField::kVarint;
    case 2:
    case 3:
    case 4:
    case 6:
    case 7:
    case 8:
    case 14:
    case 20:
    case 25:
    case 26:
      return ProtoField::kBytes;
    default:
      return 0xFF;
  }
}

}  // namespace

// ONNX has no magic: a file is taken for it when all of it reads as the fields of a ModelProto,
// with a version and exactly one graph.
bool looks_like_onnx(ByteView file, const std::filesystem::path& name) {
  uint64_t versions = 0, graphs = 0;
  try {
    ProtoReader model(file, 0);
    for (ProtoField field; model.next(field);) {
      if (model_wire(field.number) != field.wire) fail(ErrorKind::kData, "onnx: a foreign field");
      versions += field.number == 1;
      graphs += field.number == 7;
    }
  } catch (const Error&) {
    if (name.extension() == ".onnx") throw;
    return false;
  }
  return versions == 1 && graphs == 1;
}

Description read_onnx(ByteView file, const std::filesystem::path&) {
  return Walker(file.size()).run(file);
}

}  // namespace pith::io
