// Another form for each range of rows and columns.
//
//   tiles(part(uniform(8), rows=0..128), part(uniform(4), rows=128..))
//   tiles(part(uniform(2), rows=0..-64), part(dense(f16), rows=-64..))      the last 64 rows
//   tiles(part(dense(f16), cols=0..8), part(uniform(4), cols=8..))
//
// Negative bounds count from the end; bounds beyond it are the end. Parts cover every element once.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

class TilesForm final : public Form {
 public:
  struct Part {
    Range rows, cols;
    FormPtr form;
  };
  // ErrorKind::kUsage when the parts overlap, leave something out or have other shapes than their
  // ranges.
  TilesForm(Shape shape, std::vector<Part> parts);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override;
  std::string_view kind() const override { return "tiles"; }
  void write_body(BodyWriter& to) const override;

  const std::vector<Part>& parts() const { return parts_; }

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  // Rows and columns top <= r < bottom, left <= c < right.
  struct Box {
    uint64_t top, bottom, left, right;
    Shape shape() const { return {bottom - top, right - left}; }
    bool meets(const Box& o) const {
      return std::max(top, o.top) < std::min(bottom, o.bottom) &&
             std::max(left, o.left) < std::min(right, o.right);
    }
  };
  static Box box(const Range& rows, const Range& cols, Shape shape);
  bool is_wide(const Box& b) const { return b.right - b.left == shape().cols; }

  std::vector<Part> parts_;
  std::vector<Box> boxes_;
};

}  // namespace pith::form
