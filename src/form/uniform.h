// Codes of a few bits with a scale, and perhaps a zero point, for each group of neighbours in a
// row.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "panel_matrix.h"
#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

inline constexpr uint64_t kRowGroup = 0, kTensorGroup = ~uint64_t{0};

struct UniformParameters {
  int bits = 4;                  // of a code, 1 to 8
  uint64_t group = 64;           // elements of a row that share a scale, kRowGroup or kTensorGroup
  bool zero = false;             // groups have a zero point
  std::string grid = "uniform";  // of levels (grid.h), or "kmeans": levels fitted to the tensor
  DType scale = DType::kF16;     // of scales and zero points, unless
  std::optional<Expression> coded_scales;  // these are a uniform form themselves
  bool operator==(const UniformParameters&) const = default;
};

// Scales or zero points: a plain array in the order of panels (group_floats.h), or a form with a
// row for each row and a column for each group.
struct GroupValues {
  Buffer plain;
  std::shared_ptr<const class UniformForm> coded;
};

// Element = scale * level[code] (+ zero).
class UniformForm final : public Form {
 public:
  // levels: of a k-means grid, else empty. Throws ErrorKind::kData unless all have their sizes.
  UniformForm(Shape shape, UniformParameters parameters, std::vector<float> levels,
              PanelCodes codes, GroupValues scales, GroupValues zeros);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override { return {matrix_->multiplies(), matrix_->adds_rows()}; }
  void fetch_parts() const override { fetch_object(*matrix_); }
  void fetch() const override { matrix_->fetch(); }
  std::string_view kind() const override { return "uniform"; }
  void write_body(BodyWriter& to) const override;

  const UniformParameters& parameters() const { return parameters_; }
  const std::shared_ptr<const PanelMatrix>& matrix() const { return matrix_; }
  // Of all codes, 2^bits of them: codes that a grid does not have go on where it ends.
  const std::vector<float>& levels() const { return matrix_->levels(); }

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);
  // `form > rans`, of a uniform form.
  static FormPtr code(const Expression& coder, const FormPtr& form);

 private:
  UniformParameters parameters_;
  std::vector<float> own_levels_;
  GroupValues scales_, zeros_;
  std::shared_ptr<const PanelMatrix> matrix_;
};

// Groups of a row: a row and a column for each scale, or a single one.
Shape groups_of(const UniformParameters& p, Shape shape);
// Elements of a row that its first group covers.
uint64_t group_length(const UniformParameters& p, uint64_t cols);

// The parameters that a call names, without those of coded scales, which are read when these are.
UniformParameters uniform_parameters(const Expression& call);

}  // namespace pith::form
