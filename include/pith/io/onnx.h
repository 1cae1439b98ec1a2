// What an ONNX file computes: its nodes, and the tensors that are given with it.
//
//   const OnnxGraph graph = read_onnx_graph("model.onnx");
//   for (const OnnxNode& node : graph.nodes) …   // in an order in which they can be computed
//
// Names, lengths and types come from the file and are believed only as far as they were checked:
// every node reads what the graph is given or an earlier node has made, every name is made once,
// every tensor has as many bytes as its shape says. What operators mean is not known here, nor is
// what lies in graphs within attributes (of If, Loop, Scan).
//
// The messages are read by io/protobuf.h, as the weights are (io/layout.h): of Protocol Buffers it
// takes forty lines, where libonnx has an object for every message of a file before any of it is
// checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"

namespace pith::io {

struct OnnxTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  Buffer data;  // little-endian elements; a view of the file where they lie in it as such
};

struct OnnxAttribute {
  enum class Kind : uint8_t { kFloat, kInteger, kText, kTensor, kFloats, kIntegers, kOther };
  Kind kind = Kind::kOther;  // kOther: texts, graphs, and what else there is; it is not kept
  float number = 0;
  int64_t integer = 0;
  std::string text;
  OnnxTensor tensor;
  std::vector<float> numbers;
  std::vector<int64_t> integers;
};

struct OnnxNode {
  std::string name;    // may be empty
  std::string op;      // "Conv"
  std::string domain;  // empty: ONNX's own operators
  // Empty: left out.
  std::vector<std::string> inputs, outputs;
  std::map<std::string, OnnxAttribute, std::less<>> attributes;
};

struct OnnxValue {
  std::string name;
  std::optional<DType> dtype;                  // where it is a tensor of a known type
  std::vector<std::optional<uint64_t>> shape;  // no value: not known beforehand
};

struct OnnxGraph {
  std::string name;
  uint64_t opset = 0;                      // version of ONNX's own operators
  std::vector<OnnxValue> inputs, outputs;  // inputs without those that have an initializer
  std::vector<OnnxNode> nodes;
  std::vector<OnnxTensor> initializers;
};

// Of a file, and of those beside it in which its tensors lie (external data; below its folder
// only). Throws ErrorKind::kData naming the file, what is wrong, and the node or the tensor or the
// byte: for what is no ONNX file, values that nothing or only a later node makes (a circle has
// some), names made twice, element types without a fixed width, data that do not fill a shape;
// kLimit for more than 2^20 nodes.
OnnxGraph read_onnx_graph(const std::filesystem::path& path);
// The same of bytes, which are kept; `path` is for messages and external data.
OnnxGraph read_onnx_graph(Buffer file, const std::filesystem::path& path);

}  // namespace pith::io
