#include "candidates.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/budget/capacity.h"
#include "some_rows.h"

namespace pith::weights {
namespace {

double squared_error(form::MatrixView a, form::MatrixView b) {
  double sum = 0;
  for (uint64_t i = 0; i < a.shape.size(); ++i) {
    const double off = double{a.data[i]} - b.data[i];
    sum += off * off;
  }
  return sum;
}

// The mean of the diagonal of G ⊗ A.
double mean_curvature(const fit::Task& task) {
  const uint64_t rows = task.weights.shape.rows, cols = task.weights.shape.cols;
  double outputs = 0, inputs = 0;
  for (const double g : task.outputs) outputs += g;
  for (uint64_t c = 0; c < cols; ++c) inputs += task.inputs.importance(c);
  if (task.outputs.empty()) outputs = static_cast<double>(rows);
  return outputs / static_cast<double>(rows) * inputs / static_cast<double>(cols);
}

}  // namespace

void CandidateTable::measure(const fit::Task& task, const Fit& fit) {
  std::optional<SomeRows> some;
  if (!keep_) some.emplace(task);
  const fit::Task& part = some ? some->task() : task;
  const auto elements = static_cast<double>(task.weights.shape.size());
  const double curvature = elements == 0 ? 0 : mean_curvature(part);
  budget::Part measured{.name = std::string(task.name), .candidates = {}};
  std::vector<Tried> tried;
  std::string refusal;
  for (const FormCandidate& c : candidates_) {
    try {
      const fit::Task& on = c.whole ? task : part;
      const auto fitted_elements = static_cast<double>(on.weights.shape.size());
      const double times = fitted_elements == 0 ? 0 : elements / fitted_elements;
      fit::Fitted fitted = fit(c, on);
      const form::Matrix decoded = form::decode(*fitted.form);
      const double squared = squared_error(on.weights, decoded.view());
      const double bytes = static_cast<double>(form::bits(*fitted.form)) / 8;
      tried.push_back(
          {.candidate = &c,
           .form = keep_ ? fitted.form : nullptr,
           .expression = form::to_string(fitted.form->expression()),
           .elements = elements,
           .divergence = fitted.error / 2 * times,
           .trace = squared * curvature / 2 * times,
           .outputs = keep_ ? fit::error(on.inputs, on.weights, decoded.view(), on.threads) : NAN,
           .squared = squared * times});
      measured.candidates.push_back(
          {c.name, loss(proxy_, tried.back()), {bytes * times, c.nanoseconds * elements / 1e6}});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      refusal = error.what();
    }
  }
  if (tried.empty()) fail(ErrorKind::kUsage, "{}: no form takes it: {}", task.name, refusal);
  names_.emplace_back(task.name);
  tried_.push_back(std::move(tried));
  problem_.parts.push_back(std::move(measured));
}

double CandidateTable::loss(Proxy proxy, size_t part, size_t candidate) const {
  return loss(proxy, tried_[part][candidate]);
}

double CandidateTable::loss(Proxy proxy, const Tried& tried) const {
  switch (proxy) {
    case Proxy::kDivergence:
      return tried.divergence;
    case Proxy::kTrace:
      return tried.trace;
    case Proxy::kOutputs:
      if (std::isnan(tried.outputs)) {
        fail(ErrorKind::kUsage, "errors of outputs are known of forms that are kept");
      }
      return tried.outputs;
    case Proxy::kSquared:
      return tried.squared;
    case Proxy::kCapacity:
      break;
  }
  auto known = gaussian_.find(tried.expression);
  if (known == gaussian_.end()) {
    const double error = budget::gaussian_score(form::parse(tried.expression)).error;
    known = gaussian_.emplace(tried.expression, error).first;
  }
  return tried.elements * known->second;
}

budget::Goal CandidateTable::goal(std::optional<double> bytes, std::optional<double> milliseconds,
                                  std::optional<double> loss) {
  budget::Goal goal;
  if (bytes) goal.within.push_back({"bytes", *bytes});
  if (milliseconds) goal.within.push_back({"milliseconds", *milliseconds});
  if (goal.within.empty() && loss) goal.least = "bytes";
  if (loss) goal.within.push_back({std::string(budget::kLoss), *loss});
  return goal;
}

std::vector<CandidateTable::Chosen> CandidateTable::chosen(
    std::span<const size_t> candidates) const {
  budget::totals(problem_, candidates);  // throws where they are not of this problem
  std::vector<Chosen> out;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const budget::Candidate& c = problem_.parts[i].candidates[candidates[i]];
    const Tried& tried = tried_[i][candidates[i]];
    out.push_back({tried.candidate, c.costs[0], tried.divergence, c.costs[1], tried.form});
  }
  return out;
}

double CandidateTable::smallest() const {
  return problem_.parts.empty() ? 0 : budget::smallest(problem_, "bytes");
}

}  // namespace pith::weights
