#include "network_inputs.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/base/float_elements.h"
#include "pith/io/layout.h"
#include "table.h"

namespace pith::command {
namespace {

using network::Tensor;

std::string wanted_shape(const io::OnnxValue& value) {
  std::vector<std::string> dims;
  for (const auto& d : value.shape) dims.push_back(d ? fmt::format("{}", *d) : "any");
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

bool fits(const std::vector<uint64_t>& shape, const io::OnnxValue& value) {
  if (shape.size() != value.shape.size()) return false;
  for (size_t k = 0; k < shape.size(); ++k) {
    if (value.shape[k] && *value.shape[k] != shape[k]) return false;
  }
  return true;
}

void check(const io::TensorRegion& array, const io::OnnxValue& value, const std::string& path) {
  if (array.big_endian) fail(ErrorKind::kData, "{}: {} is big-endian", path, array.name);
  if (array.size == 0) fail(ErrorKind::kUsage, "{}: {} has no elements", path, array.name);
  // A file need not say what its inputs are like.
  if (!value.dtype) return;
  if (has_float_elements(array.dtype) != has_float_elements(*value.dtype)) {
    fail(ErrorKind::kUsage, "{}: {} has elements {}, and the network's input {} takes {}", path,
         array.name, info(array.dtype).name, value.name, info(*value.dtype).name);
  }
  if (!fits(array.shape, value)) {
    fail(ErrorKind::kUsage, "{}: {} is {}, and the network's input {} is {}", path, array.name,
         shape_text(array.shape), value.name, wanted_shape(value));
  }
}

void require_finite(const Tensor& tensor, const std::string& path, const std::string& name) {
  if (!tensor.is_float()) return;
  const auto values = tensor.floats();
  const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
  if (bad == values.end()) return;
  fail(ErrorKind::kData, "{}: {} has {} at element {}", path, name,
       std::isnan(*bad) ? "NaN" : "infinity", bad - values.begin());
}

}  // namespace

std::vector<Tensor> read_inputs(const std::vector<io::OnnxValue>& wanted, const std::string& path) {
  const MappedFile file(path);
  const io::Layout layout = io::describe(file.bytes(), path).layout;
  if (layout.format != "npy" && layout.format != "npz") {
    fail(ErrorKind::kUsage, "{}: inputs are arrays in npy or npz files", path);
  }
  std::vector<Tensor> out;
  for (const io::OnnxValue& value : wanted) {
    auto at = std::ranges::find(layout.tensors, value.name, &io::TensorRegion::name);
    if (at == layout.tensors.end() && wanted.size() == 1 && layout.tensors.size() == 1) {
      at = layout.tensors.begin();
    }
    if (at == layout.tensors.end()) {
      std::vector<std::string_view> there;
      for (const io::TensorRegion& t : layout.tensors) there.push_back(t.name);
      fail(ErrorKind::kUsage, "{}: has no array called {} (of those that are not compressed: {})",
           path, value.name, fmt::join(there, ", "));
    }
    check(*at, value, path);
    const Buffer data(file.bytes().subspan(at->offset, at->size), nullptr);
    out.emplace_back(io::OnnxTensor{at->name, at->dtype, at->shape, data});
    require_finite(out.back(), path, at->name);
  }
  return out;
}

}  // namespace pith::command
