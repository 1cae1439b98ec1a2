// Coordinates in which neighbours' likeness is used: cosines and wavelets.
#pragma once

#include <memory>
#include <mutex>

#include "basis.h"
#include "pith/math/dct.h"
#include "pith/math/wavelet.h"

namespace pith::form {

// dct: of whole rows; dct(block=64): of each 64 columns, the last block of what is left.
class DctBasis final : public Basis {
 public:
  // block: from 1, or 0 for whole rows.
  DctBasis(uint64_t size, uint64_t block) : Basis(size), block_(block) {}

  std::string_view kind() const override { return "dct"; }
  Expression expression() const override;
  void write_body(BodyWriter& to) const override;
  void forward(float* x) const override;
  void back(float* row) const override;

  static BasisPtr read(uint64_t size, BodyReader& in);
  static BasisPtr make(const Expression& call, MatrixView matrix);

 private:
  uint64_t length() const { return block_ == 0 || block_ > size() ? size() : block_; }
  // Made when they are first needed: what is only read and written needs none.
  void plan() const;

  uint64_t block_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const math::Dct> dct_, last_;  // of blocks, and of the last shorter one
};

// wavelet(haar), wavelet(db4, levels=3); of as many levels as there are when not said.
class WaveletBasis final : public Basis {
 public:
  // levels: from 1, or 0 for all.
  WaveletBasis(uint64_t size, math::Wavelet wavelet, int levels)
      : Basis(size), wavelet_(wavelet), levels_(levels) {}

  std::string_view kind() const override { return "wavelet"; }
  Expression expression() const override;
  void write_body(BodyWriter& to) const override;
  void forward(float* x) const override;
  void back(float* row) const override;

  static BasisPtr read(uint64_t size, BodyReader& in);
  static BasisPtr make(const Expression& call, MatrixView matrix);

 private:
  int levels() const { return levels_ > 0 ? levels_ : math::wavelet_levels(size()); }

  math::Wavelet wavelet_;
  int levels_;
};

}  // namespace pith::form
