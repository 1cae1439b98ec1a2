#include "candidates.h"

#include <algorithm>

#include "pith/base/error.h"
#include "some_rows.h"

namespace pith::weights {

void CandidateTable::measure(const fit::Task& task) {
  const SomeRows some(task);
  const auto all = static_cast<double>(task.weights.shape.size());
  const double times = some.elements() == 0 ? 0 : all / static_cast<double>(some.elements());
  budget::Part part{.name = std::string(task.name), .candidates = {}};
  std::vector<const FormCandidate*> taken;
  std::string refusal;
  for (const FormCandidate& c : candidates_) {
    try {
      const fit::Fitted fitted = c.fitter(some.task());
      const double bytes = static_cast<double>(form::bits(*fitted.form)) / 8;
      part.candidates.push_back(
          {c.name, fitted.error / 2 * times, {bytes * times, c.nanoseconds * all / 1e6}});
      taken.push_back(&c);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      refusal = error.what();
    }
  }
  if (taken.empty()) fail(ErrorKind::kUsage, "{}: no form takes it: {}", task.name, refusal);
  names_.emplace_back(task.name);
  taken_.push_back(std::move(taken));
  problem_.parts.push_back(std::move(part));
}

std::vector<CandidateTable::Chosen> CandidateTable::choose(std::optional<double> bytes,
                                                           std::optional<double> milliseconds,
                                                           std::optional<double> loss) const {
  budget::Goal goal;
  if (bytes) goal.within.push_back({"bytes", *bytes});
  if (milliseconds) goal.within.push_back({"milliseconds", *milliseconds});
  if (goal.within.empty() && loss) goal.least = "bytes";
  if (loss) goal.within.push_back({std::string(budget::kLoss), *loss});
  const budget::Solution solution = budget::solve(problem_, goal);
  std::vector<Chosen> out;
  for (size_t i = 0; i < names_.size(); ++i) {
    const budget::Candidate& c = problem_.parts[i].candidates[solution.chosen[i]];
    out.push_back({taken_[i][solution.chosen[i]], c.costs[0], c.loss, c.costs[1]});
  }
  return out;
}

double CandidateTable::smallest() const {
  double sum = 0;
  for (const budget::Part& part : problem_.parts) {
    double least = part.candidates[0].costs[0];
    for (const budget::Candidate& c : part.candidates) least = std::min(least, c.costs[0]);
    sum += least;
  }
  return sum;
}

}  // namespace pith::weights
