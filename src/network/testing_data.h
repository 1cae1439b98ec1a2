// The networks of data/networks, and what onnxruntime gave for them. Test-only.
#pragma once

#include <filesystem>

#include "pith/base/file.h"
#include "pith/base/float_elements.h"
#include "pith/io/layout.h"
#include "pith/network/network.h"

namespace pith::network::testing {

inline std::filesystem::path data_file(const std::string& name) {
  const auto here = std::filesystem::path(__FILE__).lexically_normal();
  return here.parent_path().parent_path().parent_path() / "data/networks" / name;
}

inline Graph graph_of_file(const std::string& name) {
  return graph_of(io::read_onnx_graph(data_file(name)));
}

// The arrays of an .npz file by name.
inline std::map<std::string, Tensor> arrays_of_file(const std::string& name) {
  const MappedFile file(data_file(name));
  const io::Layout layout = io::describe(file.bytes(), name).layout;
  std::map<std::string, Tensor> out;
  for (const io::TensorRegion& t : layout.tensors) {
    out.emplace(t.name,
                Tensor(io::OnnxTensor{t.name, t.dtype, t.shape,
                                      Buffer(file.bytes().subspan(t.offset, t.size), nullptr)}));
  }
  return out;
}

// The largest difference, as a share of the largest element.
inline double difference(const Tensor& a, const Tensor& b) {
  double most = 1e-30, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    most = std::max<double>(most, std::abs(b.floats()[i]));
    worst = std::max<double>(worst, std::abs(static_cast<double>(a.floats()[i]) - b.floats()[i]));
  }
  return worst / most;
}

}  // namespace pith::network::testing
