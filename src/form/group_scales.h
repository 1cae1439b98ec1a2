// A scale for each group of neighbours in a row, beside codes that stand for elements of unit size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/arguments.h"
#include "pith/form/matrix.h"
#include "storage.h"

namespace pith::form {

// Which elements share a scale. `length` of them in a row, or one of these.
struct ScaleGroups {
  static constexpr uint64_t kRow = 0, kTensor = ~uint64_t{0}, kNone = ~uint64_t{1};

  uint64_t length = kRow;
  DType type = DType::kF16;
  bool operator==(const ScaleGroups&) const = default;

  // Groups of a row (one where all rows share it), and of a matrix of this shape.
  uint64_t in_row(Shape shape) const;
  uint64_t count(Shape shape) const;
  // The group of an element, and how many columns from it on are in the same.
  uint64_t index(Shape shape, uint64_t row, uint64_t column) const;
  uint64_t left(Shape shape, uint64_t column) const;

  // The arguments `group` (a number, `row`, `tensor` or `none`) and `scales` (a type).
  static ScaleGroups of(const Arguments& args, ScaleGroups otherwise);
  // Adds those that differ from `otherwise`.
  void add_to(std::vector<Argument>& args, ScaleGroups otherwise) const;

  void write(BodyWriter& to) const;
  static ScaleGroups read(BodyReader& in);
};

class GroupScales {
 public:
  // Throws ErrorKind::kData unless there are as many as the groups need.
  GroupScales(Shape shape, ScaleGroups groups, Buffer stored);

  const ScaleGroups& groups() const { return groups_; }
  float at(uint64_t row, uint64_t column) const;
  // Multiplies the elements begin <= column < begin + n of a row by their scales.
  void apply(uint64_t row, uint64_t begin, uint64_t n, float* values) const;

  void write(BodyWriter& to) const { to.array(stored_.bytes); }
  static GroupScales read(Shape shape, ScaleGroups groups, BodyReader& in);

 private:
  Shape shape_;
  ScaleGroups groups_;
  Buffer stored_;
};

// The scales of a matrix while it is encoded: first guessed from the size of the elements, then
// fitted to what the codes stand for.
class ScaleFit {
 public:
  // Scales of `factor` times the root mean square of each group.
  ScaleFit(MatrixView matrix, ScaleGroups groups, double factor);

  // A row in units of its scales; zeros where the scale is zero.
  void normalized(uint64_t row, float* out) const;
  float scale(uint64_t row, uint64_t column) const;
  // What the codes of the row stand for, before scales.
  void add(uint64_t row, const float* unscaled);
  // The squared error that is left with the best scales for all that was added.
  double finish();
  Buffer stored() const;

 private:
  MatrixView matrix_;
  ScaleGroups groups_;
  std::vector<float> scales_;
  std::vector<double> cross_, square_, size_;  // of each group: w c, c c, w w
};

}  // namespace pith::form
