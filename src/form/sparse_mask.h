// Kept elements with a bit for every element, or the places of n in every m neighbours.
#pragma once

#include "sparse.h"
#include "sparse_values.h"

namespace pith::form {

// Pattern kBitmap: rows of 64-bit words, values folded (sparse_values.h). Pattern kRatio: values of
// the matrix's rows by their kept elements; places as such words, or, where that is smaller, as the
// index of each kept element among its m neighbours. A few vectors are multiplied by the packed
// values; for more of them tiles of rows are expanded.
class MaskForm final : public SparseForm {
 public:
  // places: mask_bytes() or index_bytes() a row. ErrorKind::kData when they and the values do not
  // agree.
  MaskForm(Shape shape, const SparseOptions& options, Buffer places, FormPtr values);

  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;

  void fetch() const override {
    fetch_bytes(places_.bytes);
    values().fetch();
  }
  // By tiles of rows too.
  Direct direct() const override { return {true, true}; }

  static FormPtr read(Shape shape, const SparseOptions& options, BodyReader& in);
  static FormPtr encode(const SparseOptions& options, const Expression& values, MatrixView matrix);
  // kept: the elements, row-major and rising, that the values are of.
  static FormPtr make(const SparseOptions& options, Shape shape, std::span<const uint64_t> kept,
                      FormPtr values);

 private:
  struct Scratch {
    std::vector<uint64_t> mask;
    std::vector<float> values;
  };
  void write_places(BodyWriter& to) const override;
  // Calls f(row, MaskedRow) for each row.
  template <class Function>
  void for_each_row(uint64_t first, uint64_t last, Function&& f) const;
  // The row's mask, in `scratch` where it is stored as indices.
  const uint8_t* mask(uint64_t row, std::vector<uint64_t>& scratch) const;
  void unpack_indices(uint64_t row, std::vector<uint64_t>& mask) const;
  void check() const;

  Buffer places_;
  uint64_t row_bytes_;
  std::vector<uint64_t> begins_;  // of each row among the values; empty for n:m
};

// Kept elements of a row of n:m.
uint64_t kept_of_row(const SparseOptions& options, uint64_t cols);

}  // namespace pith::form
