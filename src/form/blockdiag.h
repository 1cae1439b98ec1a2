// Blocks on the diagonal, zeros elsewhere: factors that mix neighbours only (ARMOR, Monarch).
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// How a diagonal of blocks lies in a matrix: block i has rows i * rows and columns i * cols on.
struct DiagonalBlocks {
  uint64_t rows = 64, cols = 64;  // of a block
  uint64_t count = 0;             // as asked for: blockdiag(blocks=count); 0: blockdiag(rows)

  // Blocks that begin within the matrix, and rows of it that they have.
  uint64_t count_in(Shape matrix) const;
  uint64_t rows_in(Shape matrix) const;
};

class BlockDiagForm final : public Form {
 public:
  // values: the blocks one below the other, where they reach beyond the last column filled up with
  // zeros. ErrorKind::kData unless they fit.
  BlockDiagForm(Shape shape, const DiagonalBlocks& blocks, FormPtr values);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "blockdiag"; }
  void write_body(BodyWriter& to) const override;

  const DiagonalBlocks& blocks() const { return blocks_; }

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  DiagonalBlocks blocks_;
  FormPtr values_;
};

}  // namespace pith::form
