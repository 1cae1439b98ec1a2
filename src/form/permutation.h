// Another order of coordinates.
#pragma once

#include <mutex>

#include "basis.h"
#include "pith/base/buffer.h"

namespace pith::form {

class Arguments;

// y[i] = x[order[i]]. An order that a number stands for is made when it is first needed.
class Permutation {
 public:
  // kSeed: drawn from a number. kStride: every n-th one, then every n-th from the second on, … (the
  // perfect shuffle of Monarch and butterfly matrices). kStored: any.
  enum class Kind : uint8_t { kSeed, kStride, kStored };

  Permutation(Kind kind, uint64_t parameter, uint64_t size)
      : kind_(kind), parameter_(parameter), size_(size) {}
  explicit Permutation(std::vector<uint32_t> order);

  // `seed` and `stride`, of which one must be given; kSeed or kStride.
  static std::shared_ptr<const Permutation> of(const Arguments& args, uint64_t size);
  static std::shared_ptr<const Permutation> read(uint64_t size, BodyReader& in);
  void write_body(BodyWriter& to) const;
  Expression expression() const;

  uint64_t size() const { return size_; }
  const std::vector<uint32_t>& order() const;

 private:
  Kind kind_;
  uint64_t parameter_ = 0, size_;
  mutable std::once_flag once_;
  mutable std::vector<uint32_t> order_;
};

// A square matrix with a one in each row and column, none of them fitted: a factor of products.
class PermutationForm final : public Form {
 public:
  explicit PermutationForm(std::shared_ptr<const Permutation> permutation)
      : Form({permutation->size(), permutation->size()}), permutation_(std::move(permutation)) {}

  Expression expression() const override { return permutation_->expression(); }
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "permutation"; }
  void write_body(BodyWriter& to) const override { permutation_->write_body(to); }

  const std::vector<uint32_t>& order() const { return permutation_->order(); }

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  std::shared_ptr<const Permutation> permutation_;
};

// Columns in another order: permutation(by=norm) puts those of like size beside each other, so that
// groups have scales of their own.
class PermutationBasis final : public Basis {
 public:
  explicit PermutationBasis(std::shared_ptr<const Permutation> permutation)
      : Basis(permutation->size()), permutation_(std::move(permutation)) {}

  std::string_view kind() const override { return "permutation"; }
  Expression expression() const override { return permutation_->expression(); }
  void write_body(BodyWriter& to) const override { permutation_->write_body(to); }
  void forward(float* x) const override;
  void back(float* row) const override;

  static BasisPtr read(uint64_t size, BodyReader& in);
  static BasisPtr make(const Expression& call, MatrixView matrix);

 private:
  std::shared_ptr<const Permutation> permutation_;
};

}  // namespace pith::form
