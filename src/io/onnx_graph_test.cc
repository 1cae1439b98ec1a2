#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>

#include "pith/base/error.h"
#include "pith/io/onnx.h"
#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

Proto node(std::string_view op, std::string_view name, const std::vector<std::string>& inputs,
           const std::vector<std::string>& outputs) {
  Proto n;
  for (const std::string& i : inputs) n.text(1, i);
  for (const std::string& o : outputs) n.text(2, o);
  return n.text(3, name).text(4, op);
}

Proto value(std::string_view name) {
  const auto dim = [](const Proto& d) { return Proto().message(1, d); };
  Proto shape;
  shape.message(1, Proto().text(2, "n")).message(1, Proto().varint(1, 3));
  const Proto type = dim(Proto().varint(1, 1).message(2, shape));
  return Proto().text(1, name).message(2, type);
}

Bytes file_of(const Proto& graph) {
  return Proto().varint(1, 8).message(7, graph).message(8, Proto().varint(2, 13)).done();
}

OnnxGraph read(const Proto& graph) { return read_onnx_graph(Buffer(file_of(graph)), "m.onnx"); }

std::string refusal(const Proto& graph, ErrorKind kind = ErrorKind::kData) {
  try {
    read(graph);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    EXPECT_EQ(std::string(e.what()).rfind("m.onnx: ", 0), 0u) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(OnnxGraph, HasNodesTensorsAndValues) {
  const Bytes half = {0, 0, 0, 0x3F};
  Proto conv = node("Conv", "first", {"x", "w", ""}, {"y"});
  conv.message(5, Proto().text(1, "strides").bytes(8, Bytes{2, 1}).varint(20, 7));
  conv.message(5, Proto().text(1, "group").varint(3, UINT64_MAX));
  conv.message(5, Proto().text(1, "auto_pad").text(4, "VALID"));
  conv.message(5, Proto().text(1, "empty").varint(20, 7));
  const auto graph = Proto()
                         .text(2, "main")
                         .message(11, value("x"))
                         .message(11, value("w"))
                         .message(12, value("y"))
                         .message(5, onnx_tensor("w", 1, {2}).bytes(9, counting(8)))
                         .message(5, onnx_tensor("i", 7, {3}).bytes(7, Bytes{1, 2, 0x80, 1}))
                         .message(5, onnx_tensor("h", 10, {2}).bytes(5, Bytes{0x80, 0x78, 1}))
                         .message(1, conv);
  const OnnxGraph read_back = read(graph);
  EXPECT_EQ(read_back.opset, 13u);
  ASSERT_EQ(read_back.inputs.size(), 1u);  // w is given
  EXPECT_EQ(read_back.inputs[0].dtype, DType::kF32);
  ASSERT_EQ(read_back.inputs[0].shape.size(), 2u);
  EXPECT_FALSE(read_back.inputs[0].shape[0]);
  EXPECT_EQ(read_back.inputs[0].shape[1], 3u);
  const OnnxNode& n = read_back.nodes.at(0);
  EXPECT_EQ(n.inputs, (std::vector<std::string>{"x", "w", ""}));
  EXPECT_EQ(n.attributes.at("strides").integers, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(n.attributes.at("group").integer, -1);
  EXPECT_EQ(n.attributes.at("auto_pad").text, "VALID");
  EXPECT_EQ(n.attributes.at("empty").kind, OnnxAttribute::Kind::kIntegers);
  // Integers of variable length and halves as such become what their types store.
  const ByteView ints = read_back.initializers[1].data.bytes;
  EXPECT_EQ(load_le<int64_t>(ints.data() + 16), 128);
  const ByteView halves = read_back.initializers[2].data.bytes;
  EXPECT_EQ(load_le<uint16_t>(halves.data()), 0x3C00);
}

TEST(OnnxGraph, ValuesAreMadeOnceAndBeforeTheyAreRead) {
  const auto graph = [](const std::vector<Proto>& nodes) {
    Proto g;
    g.message(11, value("x")).message(12, value("y"));
    for (const Proto& n : nodes) g.message(1, n);
    return g;
  };
  EXPECT_TRUE(contains(refusal(graph({node("Add", "sum", {"x", "q"}, {"y"})})),
                       "(Add): it reads 'q', which nothing makes"));
  EXPECT_TRUE(
      contains(refusal(graph({node("Relu", "a", {"b"}, {"a"}), node("Relu", "b", {"a"}, {"b"})})),
               "later node"));
  EXPECT_TRUE(contains(refusal(graph({node("Relu", "a", {"a"}, {"a"})})), "this or a later node"));
  EXPECT_TRUE(contains(refusal(graph({node("Relu", "a", {"x"}, {"x"})})), "made twice"));
  EXPECT_TRUE(contains(refusal(graph({})), "nothing makes the output"));
}

TEST(OnnxGraph, TensorsThatBreakTheirPromises) {
  const auto with = [](const Proto& tensor) { return Proto().message(5, tensor); };
  EXPECT_TRUE(contains(refusal(with(onnx_tensor("w", 1, {3}).bytes(9, counting(8)))),
                       "8 bytes, its shape says 12"));
  EXPECT_TRUE(
      contains(refusal(with(onnx_tensor("w", 1, {1ull << 62, 4}).bytes(9, counting(8)))), "w"));
  EXPECT_TRUE(contains(refusal(with(onnx_tensor("w", 1, {UINT64_MAX}).bytes(9, counting(8)))),
                       "whole number"));
  EXPECT_TRUE(contains(refusal(with(onnx_tensor("w", 8, {1}).text(6, "a"))), "type 8"));
  EXPECT_TRUE(contains(refusal(with(onnx_tensor("w", 99, {1}).bytes(9, counting(4)))), "type 99"));
  EXPECT_TRUE(
      contains(refusal(with(onnx_tensor("w", 1, {2}).bytes(7, Bytes{1, 2}))), "another type"));
  EXPECT_TRUE(contains(refusal(with(onnx_tensor("w", 7, {1}).bytes(7, Bytes{0x80}))), "w"));
  EXPECT_TRUE(
      contains(refusal(with(onnx_tensor("w", 1, {1}).varint(14, 1))), "not in a file below"));
  EXPECT_TRUE(contains(refusal(Proto().message(15, Proto())), "sparse"));
  // A tensor within a node is named with it.
  const auto constant =
      node("Constant", "c", {}, {"c"})
          .message(5, Proto().text(1, "value").message(5, onnx_tensor("", 1, {3})));
  EXPECT_TRUE(contains(refusal(Proto().message(1, constant)), "(Constant)"));
}

TEST(OnnxGraph, ExternalDataLieInFilesBesideIt) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / "onnx_graph_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "w.bin", std::ios::binary) << "0123456789ab";
  const auto tensor = [](const char* offset, uint64_t n) {
    return onnx_tensor("w", 1, {n})
        .message(13, Proto().text(1, "location").text(2, "w.bin"))
        .message(13, Proto().text(1, "offset").text(2, offset))
        .varint(14, 1);
  };
  const auto read_in = [&](const Proto& t) {
    return read_onnx_graph(Buffer(file_of(Proto().message(5, t))), folder / "m.onnx");
  };
  const OnnxGraph graph = read_in(tensor("4", 2));
  EXPECT_EQ(graph.initializers[0].data.bytes[0], '4');
  EXPECT_THROW(read_in(tensor("8", 2)), Error);
  EXPECT_THROW(read_in(tensor("18446744073709551615", 2)), Error);
  std::filesystem::remove_all(folder);
}

TEST(OnnxGraph, EveryTruncationAndManyDamagesGiveAnErrorOrAGraph) {
  Proto conv = node("Conv", "first", {"x", "w"}, {"y"});
  conv.message(5, Proto().text(1, "strides").bytes(8, Bytes{2, 1}).varint(20, 7));
  const Bytes whole = file_of(Proto()
                                  .message(11, value("x"))
                                  .message(12, value("y"))
                                  .message(5, onnx_tensor("w", 1, {2}).bytes(9, counting(8)))
                                  .message(1, conv));
  for (size_t n = 0; n < whole.size(); ++n) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_THROW(read_onnx_graph(Buffer(cut), "m.onnx"), Error) << n;
    for (const uint8_t damage : {0xFF, 0x00, 0x80, 0x01}) {
      Bytes other = whole;
      other[n] ^= damage == 0 ? 0x55 : damage;
      try {
        read_onnx_graph(Buffer(other), "m.onnx");
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace
}  // namespace pith::io
