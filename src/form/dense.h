// Every element in a type of its own: what all other forms are measured against.
#pragma once

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

class DenseForm final : public Form {
 public:
  // values: row-major elements of f32, f16 or bf16; ErrorKind::kData unless they fill the shape.
  DenseForm(Shape shape, DType type, Buffer values);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override { return {true, true}; }
  void fetch() const override { fetch_bytes(values_.bytes); }
  std::string_view kind() const override { return "dense"; }
  void write_body(BodyWriter& to) const override;

  DType type() const { return type_; }
  // Row-major, of the type.
  const Buffer& values() const { return values_; }

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  const uint8_t* row(uint64_t r) const {
    return values_.data() + r * shape().cols * info(type_).block_bytes;
  }

  DType type_;
  Buffer values_;
};

bool is_dense_type(DType type);

}  // namespace pith::form
