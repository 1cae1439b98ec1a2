// The values that a network computes with: arrays of floats, or of integers for shapes and
// indices.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "pith/io/onnx.h"

namespace pith::network {

using Dims = std::vector<uint64_t>;  // outermost dimension first; none: a single element

// Of one value; more than that is refused (4 GiB of floats).
inline constexpr uint64_t kMostElements = uint64_t{1} << 30;

// Throws ErrorKind::kLimit above kMostElements.
uint64_t elements(std::span<const uint64_t> dims);

// Copies share their elements.
class Tensor {
 public:
  Tensor() : Tensor(Dims{0}, std::vector<float>()) {}
  // Throw ErrorKind::kData unless the values fill the shape.
  Tensor(Dims dims, std::vector<float> values);
  Tensor(Dims dims, std::vector<int64_t> values);
  // f32, f16, bf16 and f64 as floats; bool and integers of up to 64 bits as integers. Throws
  // ErrorKind::kData for other types and for integers beyond 2^63 - 1.
  explicit Tensor(const io::OnnxTensor& tensor);

  const Dims& dims() const { return dims_; }
  uint64_t dim(size_t k) const { return dims_[k]; }
  size_t rank() const { return dims_.size(); }
  uint64_t size() const { return size_; }

  bool is_float() const { return std::holds_alternative<Floats>(values_); }
  // Throw ErrorKind::kData where the elements are of the other kind.
  std::span<const float> floats() const;
  std::span<const int64_t> integers() const;

  // The same elements in another shape of as many.
  Tensor reshaped(Dims dims) const;

 private:
  using Floats = std::shared_ptr<const std::vector<float>>;
  using Integers = std::shared_ptr<const std::vector<int64_t>>;

  Dims dims_;
  uint64_t size_ = 0;
  std::variant<Floats, Integers> values_;
};

}  // namespace pith::network
