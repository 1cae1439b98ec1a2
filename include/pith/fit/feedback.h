// Error feedback: what rounding a column leaves is made up for by the columns that come after it,
// as far as the second moments of the inputs say that these can.
//
// Optimal Brain Quantization (Frantar and Alistarh 2022) with a fixed order of the columns, as in
// GPTQ (Frantar et al. 2022). Written as QuIP's LDLQ (Chee et al. 2023), which gives the same codes
// and needs no inverse: with H = U D Uᵀ, U unit upper triangular, column j is rounded from
//
//   w_j + sum over i < j of (w_i - q_i) U_ij,
//
// and the error of the whole is the sum of D_j times the squared roundings.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "pith/fit/fitter.h"
#include "pith/fit/metric.h"
#include "pith/form/form.h"
#include "pith/form/integer_fit.h"
#include "pith/form/sparse_fit.h"

namespace pith::fit {

enum class ColumnOrder : uint8_t {
  kNatural,     // as they stand; the scale of a group is searched when its first column comes, for
                // weights that have taken up all errors so far
  kActivation,  // by falling importance, so that the last ones, which nothing makes up for, matter
                // least ("act-order"); groups stay those of the natural order, and their scales are
                // searched before all else
};

struct FeedbackOptions {
  ColumnOrder order = ColumnOrder::kNatural;
  // Added to the diagonal, as a share of its mean: what calibration saw too few tokens to know is
  // trusted less. At least 0; raised as far as the factorization needs it.
  double damping = 0.01;
  int threads = 0;  // 0: as many as there are; the result is the same
  // Of `uniform(...)` and `ggml(...)`, after all columns: codes and scales that are better beside
  // all others are taken, one after the other, so many times over or until there are none. Takes 4
  // n^2 bytes.
  int sweeps = 2;
};

class ErrorFeedback {
 public:
  // Factors the metric's matrix once for all weights that take these inputs: n^3 / 3
  // multiplications and about 8 n^2 bytes while that lasts, 2 n^2 after it. Without second moments
  // there is no feedback, and each column is rounded by itself. Throws ErrorKind::kUsage for
  // options that cannot be.
  explicit ErrorFeedback(const Metric& metric, const FeedbackOptions& options = {});
  ~ErrorFeedback();
  ErrorFeedback(ErrorFeedback&&) noexcept;

  struct Result {
    form::FormPtr form;
    // By the metric with its damping: what error() gives for it but for rounding.
    double error = 0;
  };
  // `uniform(...)`, or this with a coder behind it; `codebook(...)` and `lattice(...)`, see
  // encode_vectors(); `trellis(...)`, see encode_paths(); `uniform(...) + sparse(share)`, whose
  // sparse part holds the elements that cost most in it (SpQR: Dettmers et al. 2023); the types of
  // `ggml(...)` that GgmlFit knows; or `sparse(...)`, see prune(). Columns are groups' members as
  // in form::encode(). Scales are searched by the importance that is left to each column, D. Throws
  // ErrorKind::kUsage for another expression or shape, kData for NaN and infinity in the weights.
  Result encode(const form::Expression& expression, form::MatrixView weights) const;

  // A form whose codes stand for several neighbours of a row (form/vector_fit.h): the codes of a
  // run are chosen together, by what its errors mean once the columns after it have made up for
  // them (block LDLQ: QuIP#, Tseng et al. 2024), then beside all others; scales and the entries of
  // codebooks become the least squares beside the codes. Begins with a form of the weights, and
  // takes the columns in their natural order. Where there are no second moments it is k-means with
  // weights for each element.
  Result encode_vectors(form::FormPtr start, form::MatrixView weights,
                        std::span<const double> rows = {}) const;

  // `trellis(...)` (form/trellis_fit.h): the path of a row is the best for what its elements are to
  // be once errors before them have been fed back, for each path those that it leaves itself
  // (form/path_search.h). Scales are tried in a few sizes on some rows, then become the least
  // squares beside the path; sweeps search it anew in pieces, each beside all other columns. Takes
  // the columns in their natural order.
  Result encode_paths(form::FormPtr start, form::MatrixView weights) const;

  // A byte for each element, 1 for those that are kept of a share of all or of n:m (SparseGPT:
  // Frantar and Alistarh 2023); n:m only in the natural order. The threshold of a share is for all
  // rows of a block of columns together.
  std::vector<uint8_t> choose(const form::SparseOptions& options, form::MatrixView weights) const;
  // `sparse(...)` of the elements that are kept: the least squares of values, which
  // `values=uniform(...)` then quantizes with feedback. The error is by the metric.
  Result encode(const form::Expression& expression, form::MatrixView weights,
                std::span<const uint8_t> keep) const;
  // Both.
  Result prune(const form::Expression& expression, form::MatrixView weights) const;

  // What an error of a row means beside one in others, at least 0 (Kronecker-factored curvature:
  // Martens and Grosse 2015, with a diagonal for the outputs); empty: all alike.
  using RowImportance = std::span<const double>;

  // Steps that make a rounding by one of them mean the same in every row and column: step /
  // sqrt(importance of the row * D of the column), in whole quarter octaves. With entropy-coded
  // codes this is reverse water-filling: no other steps give less error for as many bits at high
  // rates. step > 0; the error to expect is step^2 / 12 an element.
  form::IntegerSteps steps(form::Shape shape, double step, RowImportance rows = {}) const;

  // `integer(...) > rans` with these steps. lambda: the error that a bit may cost, in steps
  // squared; 0: nearest. The error is by the metric with the importance of rows, which the steps
  // were made for. Where the metric's products w A are given, what rounding takes from the outputs
  // (codes of low rates are too often zero) is given back by one factor for the whole matrix:
  // regressed on what it was, an output then is as large as it was.
  Result encode(const form::Expression& expression, form::MatrixView weights,
                const form::IntegerSteps& steps, double lambda, RowImportance rows = {},
                form::MatrixView products = {}) const;

  double damping() const;  // that was used

 private:
  void require(form::MatrixView weights) const;
  Result encode_blocks(const form::Expression& expression, form::MatrixView weights) const;

  struct Factor;
  std::unique_ptr<Factor> factor_;
  Metric metric_;
  FeedbackOptions options_;
};

// `sparse(...)` of a share or n:m, the better of what prune() keeps and what scores best by
// activation; of blocks of a row those dearest to remove (masks.h). More damping than elsewhere: so
// much is lost of all layers that their inputs are not what calibration saw.
Fitter sparse_fitter(const form::Expression& expression,
                     const FeedbackOptions& options = {ColumnOrder::kNatural, 0.1});

}  // namespace pith::fit
