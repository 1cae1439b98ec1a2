// Where ordered lists are cut — the ranks of a model's matrices — learned by the gradient of a loss
// through soft gates, while what all of them cost stays (Dobi-SVD, Wang et al. 2025, arXiv
// 2502.02723).
//
//   const SoftPositions cut = learn_positions(lists, 3e6, loss);
//   cut.positions[0]                       // about so many of the first list are kept
//
// The gate of element j = 0, 1 … of a list that is cut at k is 0.5 tanh((k - j - 0.5) / width) +
// 0.5. Steps are Adam's (Kingma and Ba 2015), on what the loss gains for a unit of cost beyond what
// all gain on average.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "pith/base/progress.h"

namespace pith::budget {

struct SoftList {
  uint64_t elements = 0;  // none: it is not cut, and costs nothing
  double cost = 1;        // of each
};

using Gates = std::vector<std::vector<float>>;
// The loss with these gates, on samples that belong to the step; gives its derivatives.
using GatedLoss = std::function<double(const Gates& gates, uint64_t step,
                                       std::vector<std::vector<double>>& gradient)>;

struct SoftOptions {
  uint64_t steps = 40;
  double rate = 0.03;   // of the first step, as a share of a list; falls to nothing
  double width = 0.03;  // of gates, as a share of a list
  Progress progress = {};
};

struct SoftPositions {
  std::vector<double> positions;  // in elements, of each list
  std::vector<double> losses;     // of each step, with the gates before it
};

// From the same share of each list on. The costs of what is kept add up to the limit, or to all.
// Throws ErrorKind::kUsage for options and costs that cannot be, kLimit for limits below one
// element of each, kData for losses and derivatives that are no numbers.
SoftPositions learn_positions(std::span<const SoftList> lists, double limit, const GatedLoss& loss,
                              const SoftOptions& options = {});

}  // namespace pith::budget
