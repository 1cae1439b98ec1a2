// Fitters that round: by themselves, with what each column leaves made up for by the others, and
// behind scales of columns.
#pragma once

#include <vector>

#include "pith/fit/feedback.h"
#include "pith/fit/fitter.h"

namespace pith::fit {

// form::encode(): each part as near as it gets in squared error.
Fitter nearest_fitter(const form::Expression& expression);

// `uniform(...)` and `ggml(...)` with scales that are searched by the importance of each column,
// and `codebook(...)`, `lattice(...)` and `trellis(...)` with codes and entries by it (weighted
// k-means); no feedback.
Fitter importance_fitter(const form::Expression& expression);

// ErrorFeedback's for `uniform(...)`, `ggml(...)`, `sparse(...)`, `codebook(...)`, `lattice(...)`
// and `trellis(...)`; never worse than the nearest. Tensors that come one after the other with the
// same inputs share what was factored.
Fitter feedback_fitter(const form::Expression& expression, const FeedbackOptions& options = {});

struct ColumnScaleOptions {
  int steps = 20;       // exponents that are tried, from 0 to 1
  uint64_t rows = 256;  // of the matrix, that each is tried with
};

// `scale | F`: columns grow by a power of the size of their inputs before F rounds them and shrink
// again after, so that those that matter are rounded more finely within their groups (AWQ: Lin et
// al. 2023, which folds the scales into the layer before; here they are 16 bits a column). The
// power is the best by the metric with `trial`, which is to be fast. Sizes are root mean squares.
// Where no power is better than none, it is F alone.
Fitter column_scaled(Fitter trial, Fitter fitter, const ColumnScaleOptions& options = {});

// The scales by which columns are to be divided before `fitter`: sizes^exponent around a geometric
// mean of 1, as f16; of channels that are always zero 1.
std::vector<float> column_scales(const Metric& inputs, uint64_t columns, double exponent);

// The inputs' metric for a matrix whose columns were divided by these.
Metric with_scaled_columns(const Metric& inputs, std::span<const float> scales);

// `scale | F`: each column is divided by its norm, and F, which should have a scale for each row,
// is fitted by the squared error of what is left with both norms taken away, times the mean square
// of the column's input (NoWag: Liu et al. 2025).
// With `normalized` false errors mean what they do to the outputs instead.
Fitter column_normalized(Fitter fitter, bool normalized = true);

// `basis | F`: F fits the matrix in the basis's coordinates, and by the inputs as they are there. A
// basis that spreads outliers over all columns leaves F numbers of a Gaussian (QuIP: Chee et al.
// 2023; QuaRot: Ashkboos et al. 2024; the grid for these as in QuEST: Panferov et al. 2025).
// Without any knowledge of the inputs, errors count as they are in the basis. Takes 24 n^2 bytes.
Fitter in_basis(const form::Expression& basis, Fitter fitter);

}  // namespace pith::fit
