#include "pith/network/tensor.h"

#include <fmt/ranges.h>

#include "pith/base/float_elements.h"

namespace pith::network {
namespace {

template <class T>
std::vector<int64_t> widened(ByteView raw) {
  std::vector<int64_t> out(raw.size() / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) {
    const T v = load_le<T>(raw.data() + i * sizeof(T));
    if (std::is_same_v<T, uint64_t> && v > static_cast<T>(INT64_MAX)) {
      fail(ErrorKind::kData, "element {} is larger than integers of 64 bits with a sign", i);
    }
    out[i] = static_cast<int64_t>(v);
  }
  return out;
}

std::vector<int64_t> integers_of(const io::OnnxTensor& t) {
  const ByteView raw = t.data.bytes;
  switch (t.dtype) {
    case DType::kBool:
    case DType::kU8:
      return widened<uint8_t>(raw);
    case DType::kI8:
      return widened<int8_t>(raw);
    case DType::kU16:
      return widened<uint16_t>(raw);
    case DType::kI16:
      return widened<int16_t>(raw);
    case DType::kU32:
      return widened<uint32_t>(raw);
    case DType::kI32:
      return widened<int32_t>(raw);
    case DType::kU64:
      return widened<uint64_t>(raw);
    case DType::kI64:
      return widened<int64_t>(raw);
    default:
      fail(ErrorKind::kData, "tensor '{}': elements of type {} are not computed with", t.name,
           info(t.dtype).name);
  }
}

bool computes_as_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kF64;
}

}  // namespace

uint64_t elements(std::span<const uint64_t> dims) {
  uint64_t n = 1;
  for (const uint64_t d : dims) {
    if (d != 0 && n > kMostElements / d) {
      fail(ErrorKind::kLimit, "a value of shape {} is larger than {} elements", dims,
           kMostElements);
    }
    n *= d;
  }
  return n;
}

Tensor::Tensor(Dims dims, std::vector<float> values)
    : dims_(std::move(dims)), size_(elements(dims_)) {
  if (values.size() != size_) {
    fail(ErrorKind::kData, "{} elements do not fill the shape {}", values.size(), dims_);
  }
  values_ = std::make_shared<const std::vector<float>>(std::move(values));
}

Tensor::Tensor(Dims dims, std::vector<int64_t> values)
    : dims_(std::move(dims)), size_(elements(dims_)) {
  if (values.size() != size_) {
    fail(ErrorKind::kData, "{} elements do not fill the shape {}", values.size(), dims_);
  }
  values_ = std::make_shared<const std::vector<int64_t>>(std::move(values));
}

Tensor::Tensor(const io::OnnxTensor& tensor) : dims_(tensor.shape), size_(elements(dims_)) {
  if (!computes_as_float(tensor.dtype)) {
    *this = Tensor(tensor.shape, integers_of(tensor));
    return;
  }
  std::vector<float> values(size_);
  floats_from(tensor.data.bytes, tensor.dtype, false, values.data());
  *this = Tensor(tensor.shape, std::move(values));
}

std::span<const float> Tensor::floats() const {
  if (!is_float()) fail(ErrorKind::kData, "integers where floats are needed");
  return *std::get<Floats>(values_);
}

std::span<const int64_t> Tensor::integers() const {
  if (is_float()) fail(ErrorKind::kData, "floats where integers are needed");
  return *std::get<Integers>(values_);
}

Tensor Tensor::reshaped(Dims dims) const {
  if (elements(dims) != size_) {
    fail(ErrorKind::kData, "{} elements do not fill the shape {}", size_, dims);
  }
  Tensor out = *this;
  out.dims_ = std::move(dims);
  return out;
}

}  // namespace pith::network
