// Kept blocks of neighbouring rows and columns, and whole rows.
#pragma once

#include "sparse.h"
#include "uneven_rows.h"

namespace pith::form {

// The matrix is a grid of blocks, those at its edges filled up with zeros; a bit for each says
// whether it is kept. Values: the elements of the kept blocks, each row by row, one block after the
// other; small blocks share lines of 256, others have a row each. Whole rows are blocks of one row
// and all columns, and are multiplied by the form that holds them.
class BlocksForm final : public SparseForm, public UnevenRows {
 public:
  // mask: for each row of blocks the bits of its blocks, filled up to bytes. ErrorKind::kData when
  // it does not agree with the values.
  BlocksForm(Shape shape, const SparseOptions& options, Buffer mask, FormPtr values);

  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  uint64_t part_begin(const Activations& x, uint64_t part, uint64_t parts) const override;

  static FormPtr read(Shape shape, const SparseOptions& options, BodyReader& in);
  static FormPtr encode(const SparseOptions& options, const Expression& values, MatrixView matrix);
  // Of blocks of one row that fill the matrix, with these elements kept, rising, whole blocks of
  // them.
  static FormPtr make(const SparseOptions& options, Shape shape, std::span<const uint64_t> kept,
                      FormPtr values);
  // Of the values of so many blocks.
  static Shape values_shape(const SparseOptions& options, Shape matrix, uint64_t blocks);

 private:
  // Rows top <= r < bottom of one row of blocks: the first columns of those that are kept, and the
  // elements of the first one from row `top` on, the next ones' width * height floats after it.
  struct Band {
    uint64_t top, bottom;
    const float* values;
    const std::vector<uint64_t>& columns;
  };
  template <class Function>
  void for_each_band(uint64_t first, uint64_t last, Function&& f) const;
  void multiply_expanded(const Activations& x, uint64_t first, uint64_t last, float* out,
                         uint64_t stride) const;
  void multiply_rows(const Activations& x, uint64_t first, uint64_t last, float* out,
                     uint64_t stride) const;
  void write_places(BodyWriter& to) const override;
  bool kept(uint64_t block_row, uint64_t block) const;

  uint64_t width_, height_;  // of a block
  uint64_t across_, down_;   // blocks in the grid
  Buffer mask_;
  std::vector<uint64_t> begins_;  // of each row of blocks among the values
};

}  // namespace pith::form
