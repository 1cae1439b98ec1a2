// ONNX: the weights in a ModelProto, found by walking its wire format. Field numbers: onnx.proto3.
#include <map>
#include <optional>

#include "layout_builder.h"
#include "onnx_tensor.h"
#include "pith/io/names.h"
#include "pith/io/protobuf.h"
#include "pith/io/text.h"
#include "readers.h"
#include "relative_path.h"

namespace pith::io {
namespace {

constexpr int kMaxDepth = 50;  // of graphs within graphs; protobuf itself stops at 100 messages

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
    const auto [key, value] = read_onnx_entry(message);
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
    const OnnxTensorProto tensor = read_onnx_tensor_proto(message);
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
        add(read_onnx_tensor_proto(field),
            name == "value" ? std::string(node_name) : fmt::format("{}.{}", node_name, name));
      }
      if (field.number == 6 || field.number == 11) graph(field, depth + 1);
    }
  }

  void add(const OnnxTensorProto& tensor, std::string name) {
    if (name.empty()) name = "unnamed";
    const auto dtype = onnx_dtype(tensor.type);
    if (!dtype) {
      return layout_.note(
          fmt::format("the type {} has no fixed width; it stays plain bytes", tensor.type), name);
    }
    TensorRegion region{std::move(name), *dtype, tensor.dims};
    if (tensor.external) return add_external(tensor, std::move(region));
    // An empty tensor may have no data field at all.
    if (tensor.fields == 0) return;
    const ProtoField& data = tensor.data.front();
    // Written in several pieces, elements are no one range.
    if (tensor.fields > 1 || data.wire != ProtoField::kBytes || has_varints(data.number)) {
      return layout_.note("its elements are variable-length integers; it stays plain bytes",
                          region.name);
    }
    if (data.number != OnnxTensorProto::kRaw && !holds(data.number, tensor.type)) {
      return layout_.note("its elements are in a field of another type; it stays plain bytes",
                          region.name);
    }
    region.offset = data.offset;
    layout_.add(std::move(region), data.bytes.size());
  }

  static bool has_varints(uint32_t field) {
    return field == OnnxTensorProto::kInt32s || field == OnnxTensorProto::kInt64s ||
           field == OnnxTensorProto::kUint64s;
  }
  // float_data may only hold f32 and c64, double_data only f64 and c128.
  static bool holds(uint32_t field, int64_t type) {
    if (field == OnnxTensorProto::kFloats) return type == 1 || type == 14;
    return field == OnnxTensorProto::kDoubles && (type == 11 || type == 15);
  }

  void add_external(const OnnxTensorProto& tensor, TensorRegion&& region) {
    const auto size = tensor_bytes(region.dtype, region.shape);
    const auto range = tensor.external_range(size.value_or(0));
    const auto path = relative_path(tensor.location());
    if (!path) {
      return layout_.note("its data are not in a file below this folder", region.name);
    }
    if (!size || !range) {
      return layout_.note("its external data do not match its shape; they stay plain bytes",
                          region.name);
    }
    region.offset = *range;
    region.size = *size;
    external_[*path].push_back(std::move(region));
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
