// Forms of which each matrix gets one, and the choice that fits within limits.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/budget/solve.h"
#include "pith/weights/compress_model.h"

namespace pith::weights {

class CandidateTable {
 public:
  explicit CandidateTable(std::span<const FormCandidate> candidates) : candidates_(candidates) {}

  // Tries all on some rows of the matrix. Those that refuse it are none of its candidates.
  // Throws ErrorKind::kUsage, with what the last one said, where none takes it.
  void measure(const fit::Task& task);

  struct Chosen {
    const FormCandidate* candidate = nullptr;
    double bytes = 0, loss = 0, milliseconds = 0;
  };
  // One for each matrix, in the order in which they were measured: the least loss within bytes and
  // milliseconds, or where only a loss is limited the fewest bytes.
  std::vector<Chosen> choose(std::optional<double> bytes, std::optional<double> milliseconds,
                             std::optional<double> loss) const;
  const std::vector<std::string>& names() const { return names_; }
  double smallest() const;  // bytes

 private:
  std::span<const FormCandidate> candidates_;
  std::vector<std::string> names_;
  budget::Problem problem_{.resources = {"bytes", "milliseconds"}, .parts = {}};
  std::vector<std::vector<const FormCandidate*>> taken_;
};

}  // namespace pith::weights
