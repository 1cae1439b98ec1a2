// Matrices of floats, row-major: what forms are made from and decode to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::form {

// A tensor seen as a matrix: its last dimension is the columns, all others together the rows. A
// weight of a linear layer maps `cols` inputs to `rows` outputs.
struct Shape {
  uint64_t rows = 0, cols = 0;
  uint64_t size() const { return rows * cols; }
  bool operator==(const Shape&) const = default;
};

// Throws ErrorKind::kData when rows * cols floats are more than memory could address.
Shape checked_shape(uint64_t rows, uint64_t cols);

struct MatrixView {
  const float* data = nullptr;
  Shape shape;

  std::span<const float> row(uint64_t r) const { return {data + r * shape.cols, shape.cols}; }
};

struct Matrix {
  Shape shape;
  std::vector<float> values;  // shape.size()

  Matrix() = default;
  explicit Matrix(Shape s) : shape(s), values(s.size()) {}
  MatrixView view() const { return {values.data(), shape}; }
  std::span<float> row(uint64_t r) { return {values.data() + r * shape.cols, shape.cols}; }
};

}  // namespace pith::form
