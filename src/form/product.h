// Factors applied one after the other, from the right: W = A B C.
//
//   dense(f16) * sparse(25%)                     DSFormer (S307)
//   blockdiag(64) * sparse(2:4) * blockdiag(64)  ARMOR (S073)
//   blockdiag(32) * permutation(stride=32) * blockdiag(32)      Monarch (Dao et al. 2022)
//   lowrank(64)                                  two factors that a truncated SVD gives
//
// blockdiag, permutation, dct and wavelet are square. Others meet in min(rows, cols) coordinates,
// or in as many as rank(r) between them says: dense(f16) * rank(64) * sparse(25%).
#pragma once

#include "pith/form/form.h"

namespace pith::form {

class ProductForm final : public Form {
 public:
  enum class Spelling : uint8_t { kProduct, kLowRank };
  // At least two factors that meet, none of them a product; as kLowRank two of one expression.
  // ErrorKind::kUsage otherwise.
  explicit ProductForm(std::vector<FormPtr> factors, Spelling spelling = Spelling::kProduct);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  // The input of each factor is what the one to its right makes of its own: as many vectors as the
  // batch has, which apply() keeps to kMostBatch.
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override;
  void fetch_parts() const override {
    for (const FormPtr& f : factors_) f->fetch_parts();
  }
  void fetch() const override {
    for (const FormPtr& f : factors_) f->fetch();
  }
  std::string_view kind() const override {
    return spelling_ == Spelling::kLowRank ? "lowrank" : "product";
  }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr read_lowrank(Shape shape, BodyReader& in);
  // Alternating least squares from identities and a truncated SVD (product_fit.cc).
  static FormPtr encode(const Expression& product, MatrixView matrix);
  // The truncated SVD, the singular values' roots on both sides.
  static FormPtr encode_lowrank(const Expression& call, MatrixView matrix);

 private:
  std::vector<FormPtr> factors_;
  Spelling spelling_;
};

// Nothing in factors of these kinds is fitted.
bool is_orthonormal_kind(std::string_view kind);
// Factors of these kinds have as many rows as columns.
bool is_square_kind(std::string_view kind);

}  // namespace pith::form
