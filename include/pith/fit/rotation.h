// Orthogonal matrices that several weights share, chosen so that rounding loses little of them.
//
// What reads a residual stream x takes x R instead, so W becomes W R; what writes to it gives its
// outputs times R, so W becomes Rᵀ W. No product of the two changes, whatever R (QuaRot, Ashkboos
// et al. 2024); what rounding costs does, and R can be learned (SpinQuant, Liu et al. 2025).
//
//   const Matrix start = hadamard_rotation(n, 1);
//   const LearnedRotation r = learn_rotation(start.view(), matrices, rounding_to(expression));
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "pith/base/progress.h"
#include "pith/fit/metric.h"
#include "pith/form/expression.h"
#include "pith/form/matrix.h"

namespace pith::fit {

// The Hadamard transform of n coordinates after signs that the seed draws, orthogonal (n x n). For
// an n that is 2^k m, m odd, with a Hartley transform of m: docs/forms-combinators.md.
form::Matrix hadamard_rotation(uint64_t n, uint64_t seed);
form::Matrix identity_rotation(uint64_t n);

// The largest deviation of Rᵀ R from the identity; infinite for what is not square or not finite.
double orthogonality_error(form::MatrixView rotation);

struct RotatedMatrix {
  enum class Side : uint8_t {
    kColumns,  // reads what is rotated: W R
    kRows,     // writes it: Rᵀ W
  };
  form::MatrixView weights;
  Side side = Side::kColumns;
  // Of the side that is rotated, before it is: second moments of inputs, or what an error of each
  // output matters.
  Metric along = {};
  // What an error of each row (of kColumns) or column (of kRows) matters; empty: all alike.
  std::vector<double> across = {};
};

// What rounding makes of some whole rows, and how many neighbours in a row share a scale.
struct Rounding {
  std::function<form::Matrix(form::MatrixView rows)> round;
  uint64_t group = 32;
};
// To the nearest of a form: form::encode().
Rounding rounding_to(const form::Expression& expression);

struct RotationOptions {
  int steps = 100;
  double angle = 0.1;      // of the first steps: radians that a coordinate turns by, on the mean
  int threads = 0;         // as thread_count(); results do not depend on it
  Progress progress = {};  // in steps
};

struct LearnedRotation {
  form::Matrix rotation;  // orthogonal to about 1e-6
  double error = 0;       // never above that of the start
  double start = 0;
};

// The errors of all matrices' elements, squared, times what they matter along and across. Those of
// different elements are taken to be independent, as those of nearest codes nearly are.
// Throws ErrorKind::kUsage for matrices, metrics or importances that do not fit the rotation.
double rotated_error(form::MatrixView rotation, std::span<const RotatedMatrix> matrices,
                     const Rounding& rounding, int threads = 0);

// Descent along Cayley transforms, with straight-through rounding: codes stay as they are and
// errors grow as their group's scale does, which follows its largest elements; and along the change
// of second moments in the coordinates of R. Of all steps the best one counts. Throws
// ErrorKind::kUsage for a start that is not orthogonal, and as above; kData for weights that are
// not finite.
LearnedRotation learn_rotation(form::MatrixView start, std::span<const RotatedMatrix> matrices,
                               const Rounding& rounding, const RotationOptions& options = {});

}  // namespace pith::fit
