#include <fmt/format.h>

#include <bit>
#include <set>

#include "onnx_tensor.h"
#include "pith/base/file.h"
#include "pith/io/names.h"
#include "pith/io/onnx.h"
#include "pith/io/text.h"
#include "readers.h"
#include "relative_path.h"

namespace pith::io {
namespace {

constexpr uint64_t kMostNodes = 1 << 20, kMostOfNode = 1 << 12;

[[noreturn]] void bad(std::string_view what) { throw Error(ErrorKind::kData, std::string(what)); }

// Elements of a field, which are packed into one or stand one by one; each by `one`, whose
// argument is the varint, or the bytes of `width`.
template <class One>
void for_elements(const ProtoField& field, uint64_t width, const One& one) {
  if (field.wire == ProtoField::kVarint) return one(field.value, ByteView());
  ByteReader packed(field.bytes, "elements");
  while (!packed.empty()) {
    if (width == 0) {
      one(packed.varint(), ByteView());
    } else {
      one(0, packed.bytes(width));
    }
  }
}

class Reader {
 public:
  Reader(Buffer file, const std::filesystem::path& path) : file_(std::move(file)), path_(path) {}

  OnnxGraph run() {
    if (!looks_like_onnx(file_.bytes, path_)) bad("this is no ONNX file");
    ProtoReader model(file_.bytes, 0);
    for (ProtoField field; model.next(field);) {
      if (field.number == 7) graph(field);
      if (field.number == 8) opset(field);
    }
    if (out_.opset == 0) bad("it does not say of which version its operators are");
    drop_given_inputs();
    return std::move(out_);
  }

 private:
  void opset(const ProtoField& message) {
    std::string_view domain;
    uint64_t version = 0;
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      if (field.number == 1) domain = as_text(field.bytes);
      if (field.number == 2) version = field.value;
    }
    if (domain.empty() || domain == "ai.onnx") out_.opset = version;
  }

  void graph(const ProtoField& message) {
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      if (field.wire != ProtoField::kBytes) continue;
      if (field.number == 1) node(field);
      if (field.number == 2) out_.name = utf8(as_text(field.bytes));
      if (field.number == 5) out_.initializers.push_back(tensor(field));
      if (field.number == 11) out_.inputs.push_back(value(field));
      if (field.number == 12) out_.outputs.push_back(value(field));
      if (field.number == 15) bad("sparse initializers are not read");
    }
  }

  void node(const ProtoField& message) {
    if (out_.nodes.size() == kMostNodes) fail(ErrorKind::kLimit, "more than {} nodes", kMostNodes);
    OnnxNode node;
    std::vector<ProtoField> attributes;
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      const std::string_view text = as_text(field.bytes);
      if (field.number == 1) node.inputs.push_back(utf8(text));
      if (field.number == 2) node.outputs.push_back(utf8(text));
      if (field.number == 3) node.name = utf8(text);
      if (field.number == 4) node.op = utf8(text);
      if (field.number == 5 && field.wire == ProtoField::kBytes) attributes.push_back(field);
      if (node.inputs.size() + node.outputs.size() + attributes.size() > kMostOfNode) {
        fail(ErrorKind::kLimit, "node {} has more than {} inputs, outputs and attributes",
             out_.nodes.size(), kMostOfNode);
      }
      if (field.number == 7 && text != "ai.onnx") node.domain = utf8(text);
    }
    try {
      for (const ProtoField& field : attributes) attribute(field, node);
    } catch (const Error& e) {
      throw e.in(fmt::format("node {} {} ({})", out_.nodes.size(), in_quotes(node.name), node.op));
    }
    out_.nodes.push_back(std::move(node));
  }

  void attribute(const ProtoField& message, OnnxNode& node) {
    using Kind = OnnxAttribute::Kind;
    std::string name;
    OnnxAttribute a;
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      switch (field.number) {
        case 1:
          name = utf8(as_text(field.bytes));
          break;
        case 2:
          if (field.bytes.size() != 4) bad("an attribute's float has not four bytes");
          a.number = std::bit_cast<float>(load_le<uint32_t>(field.bytes.data()));
          a.kind = Kind::kFloat;
          break;
        case 3:
          a.integer = static_cast<int64_t>(field.value);
          a.kind = Kind::kInteger;
          break;
        case 4:
          a.text = utf8(as_text(field.bytes));
          a.kind = Kind::kText;
          break;
        case 5:
          if (field.wire != ProtoField::kBytes) bad("an attribute's tensor is no message");
          a.tensor = tensor(field);
          a.kind = Kind::kTensor;
          break;
        case 7:
          for_elements(field, 4, [&](uint64_t, ByteView raw) {
            if (raw.size() == 4)
              a.numbers.push_back(std::bit_cast<float>(load_le<uint32_t>(raw.data())));
          });
          a.kind = Kind::kFloats;
          break;
        case 8:
          for_elements(field, 0, [&](uint64_t v, ByteView) {
            a.integers.push_back(static_cast<int64_t>(v));
          });
          a.kind = Kind::kIntegers;
          break;
        case 20:
          // The declared type tells empty lists, whose fields do not stand there at all.
          if (field.value == 6 && a.kind == Kind::kOther) a.kind = Kind::kFloats;
          if (field.value == 7 && a.kind == Kind::kOther) a.kind = Kind::kIntegers;
          if (field.value == 1 && a.kind == Kind::kOther) a.kind = Kind::kFloat;
          if (field.value == 2 && a.kind == Kind::kOther) a.kind = Kind::kInteger;
          if (field.value == 3 && a.kind == Kind::kOther) a.kind = Kind::kText;
          break;
        default:
          break;
      }
    }
    node.attributes.insert_or_assign(std::move(name), std::move(a));
  }

  // ValueInfoProto: a name, and the type and shape of a tensor within messages within it.
  OnnxValue value(const ProtoField& message) {
    OnnxValue out;
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      if (field.number == 1) out.name = utf8(as_text(field.bytes));
      if (field.number == 2 && field.wire == ProtoField::kBytes) type(field, out);
    }
    return out;
  }
  void type(const ProtoField& message, OnnxValue& out) {
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      if (field.number != 1 || field.wire != ProtoField::kBytes) continue;
      ProtoReader tensor_type(field);
      for (ProtoField part; tensor_type.next(part);) {
        if (part.number == 1) out.dtype = onnx_dtype(static_cast<int64_t>(part.value));
        if (part.number == 2 && part.wire == ProtoField::kBytes) shape(part, out);
      }
    }
  }
  void shape(const ProtoField& message, OnnxValue& out) {
    ProtoReader reader(message);
    for (ProtoField field; reader.next(field);) {
      if (field.number != 1 || field.wire != ProtoField::kBytes) continue;
      std::optional<uint64_t> dim;
      ProtoReader dimension(field);
      for (ProtoField part; dimension.next(part);) {
        if (part.number == 1) dim = part.value;
      }
      out.shape.push_back(dim);
    }
  }

  OnnxTensor tensor(const ProtoField& message) {
    const OnnxTensorProto proto = read_onnx_tensor_proto(message);
    try {
      return checked(proto);
    } catch (const Error& e) {
      throw e.in(fmt::format("tensor {} at byte {}", in_quotes(proto.name), message.offset));
    }
  }

  OnnxTensor checked(const OnnxTensorProto& proto) {
    const auto dtype = onnx_dtype(proto.type);
    if (!dtype) fail(ErrorKind::kData, "elements of type {} are not read", proto.type);
    OnnxTensor out{utf8(proto.name), *dtype, proto.dims, {}};
    const auto size = tensor_bytes(*dtype, proto.dims);
    if (!size) bad("its shape does not give a whole number of bytes");
    out.data = proto.external ? external(proto, *size) : elements(proto, *dtype);
    if (out.data.size() != *size) {
      fail(ErrorKind::kData, "it has {} bytes, its shape says {}", out.data.size(), *size);
    }
    return out;
  }

  Buffer external(const OnnxTensorProto& proto, uint64_t size) {
    const auto offset = proto.external_range(size);
    const auto path = relative_path(proto.location());
    if (!path) bad("its data are not in a file below this folder");
    if (!offset) bad("what is said of its external data does not match its shape");
    std::shared_ptr<const MappedFile>& file = files_[*path];
    if (!file) file = std::make_shared<const MappedFile>(path_.parent_path() / *path);
    const ByteView all = file->bytes();
    if (*offset > all.size() || size > all.size() - *offset) {
      fail(ErrorKind::kData, "its data reach past the end of {}", path->string());
    }
    return {all.subspan(*offset, size), file};
  }

  // raw_data as it lies there; other fields are brought into its shape.
  Buffer elements(const OnnxTensorProto& proto, DType dtype) {
    if (proto.fields > proto.data.size()) bad("too many fields of elements");
    if (proto.fields == 1 && proto.data[0].wire == ProtoField::kBytes &&
        is_plain(proto.data[0].number, dtype)) {
      return {proto.data[0].bytes, file_.owner};
    }
    const uint64_t width = info(dtype).block_bytes;
    if (info(dtype).block_elements != 1) bad("elements of this type are read from raw_data only");
    Bytes out;
    for (const ProtoField& field : proto.data) {
      const bool varints = field.number == OnnxTensorProto::kInt32s ||
                           field.number == OnnxTensorProto::kInt64s ||
                           field.number == OnnxTensorProto::kUint64s;
      if (!varints && !is_plain(field.number, dtype))
        bad("its elements are in a field of another type");
      if (varints && !holds_varints(field.number, dtype))
        bad("its elements are in a field of another type");
      for_elements(field, varints ? 0 : width, [&](uint64_t v, ByteView raw) {
        uint8_t bytes[8];
        store_le(bytes, v);
        const ByteView low(bytes, width);
        const ByteView from = varints ? low : raw;
        out.insert(out.end(), from.begin(), from.end());
      });
    }
    return Buffer(std::move(out));
  }

  // Whether the field has elements of the type as bytes.
  static bool is_plain(uint32_t field, DType dtype) {
    if (field == OnnxTensorProto::kRaw) return true;
    if (field == OnnxTensorProto::kFloats) return dtype == DType::kF32 || dtype == DType::kC64;
    return field == OnnxTensorProto::kDoubles && (dtype == DType::kF64 || dtype == DType::kC128);
  }
  // int32_data has everything of at most 32 bits, also halves as their bits.
  static bool holds_varints(uint32_t field, DType dtype) {
    if (field == OnnxTensorProto::kInt64s) return dtype == DType::kI64;
    if (field == OnnxTensorProto::kUint64s) return dtype == DType::kU64 || dtype == DType::kU32;
    return info(dtype).block_bytes <= 2 || dtype == DType::kI32;
  }

  void drop_given_inputs() {
    std::set<std::string_view> given;
    for (const OnnxTensor& t : out_.initializers) given.insert(t.name);
    std::erase_if(out_.inputs, [&](const OnnxValue& v) { return given.contains(v.name); });
  }

  Buffer file_;
  const std::filesystem::path& path_;
  std::map<std::filesystem::path, std::shared_ptr<const MappedFile>> files_;
  OnnxGraph out_;
};

// That values are made once, and before they are read.
void check_order(const OnnxGraph& graph) {
  std::set<std::string_view> made, later;
  const auto make = [&](std::string_view name) {
    if (!made.insert(name).second) fail(ErrorKind::kData, "{} is made twice", in_quotes(name));
  };
  for (const OnnxValue& v : graph.inputs) make(v.name);
  for (const OnnxTensor& t : graph.initializers) make(t.name);
  for (const OnnxNode& node : graph.nodes) {
    for (const std::string& name : node.outputs) later.insert(name);
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const OnnxNode& node = graph.nodes[i];
    try {
      for (const std::string& name : node.inputs) {
        if (name.empty() || made.contains(name)) continue;
        fail(ErrorKind::kData, "it reads {}, which {}", in_quotes(name),
             later.contains(name) ? "is made only by this or a later node" : "nothing makes");
      }
      for (const std::string& name : node.outputs) {
        if (!name.empty()) make(name);
      }
    } catch (const Error& e) {
      throw e.in(fmt::format("node {} {} ({})", i, in_quotes(node.name), node.op));
    }
  }
  for (const OnnxValue& v : graph.outputs) {
    if (!made.contains(v.name))
      fail(ErrorKind::kData, "nothing makes the output {}", in_quotes(v.name));
  }
}

}  // namespace

OnnxGraph read_onnx_graph(Buffer file, const std::filesystem::path& path) {
  try {
    OnnxGraph graph = Reader(std::move(file), path).run();
    check_order(graph);
    return graph;
  } catch (const Error& e) {
    throw e.in(path.string());
  }
}

OnnxGraph read_onnx_graph(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  const ByteView bytes = file->bytes();
  return read_onnx_graph(Buffer(bytes, std::move(file)), path);
}

}  // namespace pith::io
