// One small valid file of each format, for tests that damage them and as seeds for the fuzzer.
#pragma once

#include "pith/io/write.h"
#include "testing.h"

namespace pith::io::testing {

struct Sample {
  std::string name, format;
  Bytes file;
};

inline Bytes sample_safetensors() {
  const std::vector<TensorInfo> tensors = {
      {"a", DType::kF32, {2, 3}}, {"b", DType::kBF16, {4}}, {"empty", DType::kI8, {0, 7}}};
  Bytes file = safetensors_header(tensors, {{"format", "pt"}});
  append(file, counting(24 + 8));
  return file;
}

inline Bytes sample_gguf() {
  const std::vector<TensorInfo> tensors = {{"w", DType::kQ4_0, {2, 32}}, {"n", DType::kF32, {3}}};
  Bytes file = gguf_header({{"general.name", std::string("toy")},
                            {"tokens", std::vector<std::string>{"a", "b", "c", "d", "e", "f"}},
                            {"scores", std::vector<float>{1, 2.5}},
                            {"flag", true}},
                           tensors);
  append(file, counting(64 + 32));
  return file;
}

inline Bytes sample_npz() {
  Bytes file;
  NpzWriter npz([&](ByteView bytes) { append(file, bytes); });
  npz.add("x", DType::kF32, std::vector<uint64_t>{2, 2}, counting(16));
  npz.add("y", DType::kU8, std::vector<uint64_t>{5}, counting(5));
  npz.finish();
  return file;
}

inline Bytes sample_pytorch() {
  PickleWriter pickle;
  pickle.global("collections", "OrderedDict").raw(")R(");
  pickle.text("fc.weight").tensor("FloatStorage", "0", 0, {2, 3}, {3, 1});
  pickle.text("fc.bias").tensor("HalfStorage", "1", 1, {2}, {1});
  return zip_file({{"toy/data.pkl", pickle.raw("u").done()},
                   {"toy/byteorder", bytes_of("little")},
                   {"toy/data/0", counting(24), 0, 30},
                   {"toy/data/1", counting(6), 0, 11},
                   {"toy/version", bytes_of("3\n")}});
}

inline Proto onnx_tensor(std::string_view name, uint64_t type, const std::vector<uint64_t>& dims) {
  Proto tensor;
  for (const uint64_t dim : dims) tensor.varint(1, dim);
  return tensor.varint(2, type).text(8, name);
}

inline Bytes onnx_model(const Proto& graph) {
  return Proto().varint(1, 8).text(2, "toy").message(7, graph).done();
}

inline Bytes sample_onnx() {
  const auto inner = Proto().message(5, onnx_tensor("in", 1, {2}).bytes(4, counting(8)));
  const auto branch = Proto().text(1, "then_branch").message(6, inner);
  const auto value =
      Proto().text(1, "value").message(5, onnx_tensor("", 7, {1}).bytes(9, counting(8)));
  const auto entry = [](const char* key, const char* text) {
    return Proto().text(1, key).text(2, text);
  };
  const auto external = onnx_tensor("far", 1, {4})
                            .message(13, entry("location", "toy.bin"))
                            .message(13, entry("offset", "64"))
                            .message(13, entry("length", "16"))
                            .varint(14, 1);
  return onnx_model(Proto()
                        .message(1, Proto().text(2, "c").text(4, "Constant").message(5, value))
                        .message(1, Proto().text(2, "i").text(4, "If").message(5, branch))
                        .text(2, "main")
                        .message(5, onnx_tensor("w", 10, {2, 2}).bytes(9, counting(8)))
                        .message(5, external));
}

inline Bytes sample_fvecs() {
  Bytes file;
  file.reserve(64);
  for (int k = 0; k < 3; ++k) {
    ByteWriter(file).u32(2);
    append(file, counting(8));
  }
  return file;
}

inline Bytes sample_tfjs() {
  return bytes_of(R"({"format":"graph-model","weightsManifest":[{"paths":["toy.bin"],"weights":[
    {"name":"k","shape":[2,2],"dtype":"float32"},
    {"name":"q","shape":[3],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.1,"min":0}}
  ]}]})");
}

inline Bytes sample_index() {
  return bytes_of(R"({"metadata":{"total_size":1},"weight_map":{"a":"m-1.safetensors",
    "b":"m-2.safetensors","c":"m-1.safetensors"}})");
}

inline std::vector<Sample> samples() {
  const std::string npy = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }     \n";
  return {{"toy.safetensors", "safetensors", sample_safetensors()},
          {"toy.gguf", "gguf", sample_gguf()},
          {"toy.npy", "npy", npy_file(npy, counting(24))},
          {"toy.npz", "npz", sample_npz()},
          {"toy.pt", "pytorch", sample_pytorch()},
          {"toy.onnx", "onnx", sample_onnx()},
          {"toy.fvecs", "fvecs", sample_fvecs()},
          {"model.json", "tfjs", sample_tfjs()},
          {"toy.index.json", "safetensors-index", sample_index()}};
}

}  // namespace pith::io::testing
