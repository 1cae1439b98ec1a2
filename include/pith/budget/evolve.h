// Evolution under the true loss, where losses of parts do not add up: what two layers do to each
// other, or a block that is left out altogether (EvoPress, Sieberling et al. 2024).
//
// One parent; each generation its offspring change a few parts, some to dearer candidates and
// others to cheaper ones, so that the limits hold. They are measured on few samples first, the best
// of them on more, and on the most the very best against the parent, which stays unless it is
// beaten.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "pith/base/progress.h"
#include "pith/budget/problem.h"

namespace pith::budget {

// The loss of a whole choice measured on so many samples (tokens, batches: the caller's unit) that
// belong to the round: choices are only compared with others on the same samples. NaN counts as
// infinite.
using TrueLoss =
    std::function<double(std::span<const size_t> chosen, uint64_t samples, uint64_t round)>;

// Of those still in the race, all are measured on so many samples and so many stay.
struct Stage {
  uint64_t samples = 1;
  size_t survivors = 1;
};

struct EvolveOptions {
  uint64_t seed = 0;
  size_t offspring = 32;
  std::vector<Stage> stages = {{1, 8}, {4, 2}, {16, 1}};  // the last leaves one
  size_t most_switches = 3;                               // of each kind in one offspring
  uint64_t generations = 100;
  uint64_t evaluations = std::numeric_limits<uint64_t>::max();  // calls of the loss
  double seconds = std::numeric_limits<double>::infinity();
  std::vector<size_t> start = {};  // empty: what solve() finds for the parts' own losses
  Progress progress = {};          // done and total in generations
};

struct Evolved {
  std::vector<size_t> chosen;
  Totals totals;                    // by the parts' own losses
  double start_loss = 0, loss = 0;  // true, on the last stage's samples of round 0
  uint64_t evaluations = 0, generations = 0;
  std::string note;  // what ended it, where that was a limit on evaluations or time
};

// Deterministic where the loss is and time does not run out. Throws ErrorKind::kUsage for limits on
// the loss, stages that make no sense and a start beyond the limits; kLimit for limits that cannot
// be met; kData for a start whose true loss is no number; kIo "interrupted".
Evolved evolve(const Problem& problem, std::span<const Limit> limits, const TrueLoss& loss,
               const EvolveOptions& options = {});

}  // namespace pith::budget
