// Low rank under a metric: what is cut off is what the outputs miss least.
//
// With G the importance of outputs and A = l lᵀ the second moments of inputs, the error of W' is
// |G^½ (W - W') l|², so that the best W' of a rank is the projection of W onto the first left
// singular vectors of G^½ W l (SVD-LLM: Wang et al. 2024, whose right factor, divided by l again,
// is the same; with G alone FWSVD: Hsu et al. 2022). With A alone these are the eigenvectors V of
// the outputs' second moments W A Wᵀ, and W' = V Vᵀ W the projection of the outputs onto them
// (LLM-ROM: Chavan et al. 2023; LoRD: Kaushal et al. 2023).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pith/fit/fitter.h"

namespace pith::fit {

// By what is decided which directions are kept.
enum class Weighing : uint8_t {
  kMetric,   // all that the task knows
  kMoments,  // the inputs' second moments alone: directions in which outputs vary most
  kOutputs,  // the importance of outputs alone
  kInputs,   // that of each input alone
  kNothing,  // plain singular vectors
};

struct TruncationOptions {
  // Added to the diagonal of the inputs' second moments, as a share of its mean. In a model that is
  // compressed all through, inputs carry the errors of what is before them, in all directions: with
  // little damping the error by the metric is least, but more of the model is lost.
  double damping = 3;
  Weighing by = Weighing::kMetric;
};

class Truncation {
 public:
  // The first `rank` directions (or as many as there are). Throws ErrorKind::kUsage for options
  // that cannot be, kData for weights that are not finite.
  Truncation(const Task& task, uint64_t rank, const TruncationOptions& options = {});

  uint64_t rank() const { return singular_.size(); }
  // What is left with the first r directions, by the metric with its damping; r <= rank(). Falls.
  double error(uint64_t r) const;
  // Factors rows x r and r x cols of the first r directions, each of the same size on both sides.
  form::Matrix left(uint64_t r) const;
  form::Matrix right(uint64_t r) const;

 private:
  form::Shape shape_;
  double total_ = 0;
  std::vector<double> singular_;     // squares, falling
  std::vector<float> left_, right_;  // rows x rank, rank x cols
};

// The largest rank whose factors have at most this share of the matrix's elements.
uint64_t rank_of_share(form::Shape shape, double share);

// `lowrank(r, factors=…)`. Weighed by less than the metric, it may leave more error by it than
// plain singular vectors do.
Fitter low_rank_fitter(const form::Expression& expression, const TruncationOptions& options = {});

// The same with the rank_of_share() of each matrix.
Fitter low_rank_of_share(double share, const form::Expression& factors,
                         const TruncationOptions& options = {});

// The same with factors that another fitter gives in place of rounding to nearest: the right one is
// fitted to the inputs' second moments, its rows as important as the left one's columns make them,
// and the left one to the second moments of what the right one gives. The fitter is to give forms
// of one expression, whatever the shape.
Fitter low_rank_of_share(double share, const Fitter& factor, const TruncationOptions& options = {});

// Several ranks of each matrix, whose directions are found once where the fitters are asked one
// after the other: as many as the largest rank has, so that the smaller ones are parts of it.
using RankOf = std::function<uint64_t(form::Shape shape)>;
std::vector<Fitter> nested_low_ranks(std::vector<RankOf> ranks, const form::Expression& factors,
                                     const TruncationOptions& options = {});

// What a fitter leaves, made up for by a low rank: `$any + lowrank(r, factors=…)` (EoRA: Liu et al.
// 2024, whose eigenspace of the inputs is one root of A, as l is another).
Fitter compensated(Fitter fitter, const form::Expression& low_rank,
                   const TruncationOptions& options = {});

}  // namespace pith::fit
