// Sparse forms in the making, for fitters that choose what is kept, and the values, themselves:
//
//   const SparseOptions options = sparse_options(parse("sparse(2:4, values=uniform(4))"));
//   …                                              // keep: a byte for every element
//   SparseFit fit(expression, weights.shape, keep);
//   const FormPtr form = fit.form(weights);        // values encoded by themselves, or
//   const FormPtr form = fit.form(values);         // a form of fit.gather(weights), fitted
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/form.h"

namespace pith::form {

enum class SparsePattern : uint8_t { kCsr, kBitmap, kRatio, kBlocks, kRows, kColumns };

struct SparseOptions {
  SparsePattern pattern = SparsePattern::kCsr;
  double share = 0;                // of all elements, blocks, rows or columns; unless
  uint64_t n = 0, m = 0;           // n of every m neighbours in a row
  uint64_t block = 1, height = 1;  // columns and rows of a block

  bool is_ratio() const { return pattern == SparsePattern::kRatio; }
  // Elements are chosen one by one, anywhere.
  bool is_free() const {
    return pattern == SparsePattern::kCsr || pattern == SparsePattern::kBitmap;
  }
};

// What `sparse(...)` asks for. Throws ErrorKind::kUsage for another expression.
SparseOptions sparse_options(const Expression& expression);

// The share as a number of things out of so many.
uint64_t count_of(double share, uint64_t all);

class SparseFit {
 public:
  // keep: not zero for each element that is kept, row-major: any number of them for a share, n of
  // every m (or all, where fewer are left at the end of a row), whole blocks of one row where they
  // divide it. Throws ErrorKind::kUsage for other patterns, and a choice that does not fit.
  SparseFit(const Expression& expression, Shape shape, std::span<const uint8_t> keep);

  const Expression& values() const { return values_; }  // what they are to be
  // Of the matrix of values: element i of it, row-major, is the i-th kept element, row-major. Zeros
  // fill it up.
  Shape values_shape() const;
  Matrix gather(MatrixView weights) const;

  // Throws ErrorKind::kUsage unless `values` is of values_shape().
  FormPtr form(FormPtr values) const;
  FormPtr form(MatrixView weights) const;

 private:
  SparseOptions options_;
  Expression values_;
  Shape shape_;
  std::vector<uint64_t> kept_;  // rising
};

}  // namespace pith::form
