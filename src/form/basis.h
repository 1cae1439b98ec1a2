// A form in other coordinates: W = F Q, where Q changes the basis of the columns.
//
// The input is changed once, x -> Q x, and F computes with it as if nothing had happened.
#pragma once

#include <string_view>
#include <vector>

#include "pith/form/form.h"

namespace pith::form {

// An invertible change of coordinates of vectors of `size` elements.
class Basis {
 public:
  explicit Basis(uint64_t size) : size_(size) {}
  virtual ~Basis() = default;

  uint64_t size() const { return size_; }
  virtual std::string_view kind() const = 0;
  virtual Expression expression() const = 0;
  virtual void write_body(BodyWriter& to) const = 0;

  // x -> Q x.
  virtual void forward(float* x) const = 0;
  // A row of F to the row of W: f -> f Q.
  virtual void back(float* row) const = 0;
  // A row of W to the row of F: w -> w Q^-1, which is Q w where Q is orthonormal.
  virtual void change(float* row) const { forward(row); }

 private:
  uint64_t size_;
};

using BasisPtr = std::shared_ptr<const Basis>;

struct BasisKind {
  std::string_view name;
  BasisPtr (*read)(uint64_t size, BodyReader& in);
  // Fitted to the matrix whose rows it will change.
  BasisPtr (*make)(const Expression& call, MatrixView matrix);
};
const BasisKind* find_basis(std::string_view name);
// Throws ErrorKind::kUsage where there is none of that name.
BasisPtr make_basis(const Expression& call, MatrixView matrix);

class BasisForm final : public Form {
 public:
  // ErrorKind::kUsage when the basis is not of the form's columns.
  BasisForm(BasisPtr basis, FormPtr inner);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override { return inner_->direct(); }
  void fetch_parts() const override { inner_->fetch_parts(); }
  void fetch() const override { inner_->fetch(); }
  std::string_view kind() const override { return "basis"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& basis, MatrixView matrix);

 private:
  BasisPtr basis_;
  FormPtr inner_;
};

}  // namespace pith::form
