// What is to be shared out: parts (tensors, layers, heads, frames), each with candidates, of which
// one is chosen for every part. A candidate has a loss and a cost in every resource; the losses of
// the parts add up, and so do the costs.
//
//   Problem problem{.resources = {"bytes", "ms"}, .parts = {}};
//   problem.parts.push_back({"layers.0.q", {{"uniform(4)", 0.02, {2048, 0.1}},
//                                           {"uniform(8)", 0.0001, {4096, 0.2}}}});
//   const Goal goal{.within = {{"bytes", 3e6}, {"ms", 12}}};
//
// Loss and costs are finite and not negative. They are sums of doubles in the order of the parts,
// so whole bytes are exact up to 2^53, and a limit that is the cost of some choice admits it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pith::budget {

inline constexpr std::string_view kLoss = "loss";  // the name of the loss among the resources

struct Candidate {
  std::string name;
  double loss = 0;
  std::vector<double> costs;  // one for each resource
};

struct Part {
  std::string name;
  std::vector<Candidate> candidates;  // at least one
  std::optional<size_t> fixed = {};   // kept: this candidate and no other
};

struct Problem {
  std::vector<std::string> resources;
  std::vector<Part> parts;
};

// Throws ErrorKind::kData with the part's name for a part without candidates, for costs or losses
// that are negative, infinite or NaN, and for sums that would overflow; kUsage for resources whose
// name is empty, comes twice or is "loss".
void check(const Problem& problem);

struct Limit {
  std::string of;  // a resource or "loss"
  double most = 0;
};

// The least of one quantity within limits on others: the least loss within a number of bytes, or
// the fewest bytes with a loss of at most so much.
struct Goal {
  std::string least = std::string(kLoss);
  std::vector<Limit> within = {};
};

struct Totals {
  double loss = 0;
  std::vector<double> costs;

  // Of a resource of the problem, or the loss. Throws ErrorKind::kUsage for another name.
  double of(const Problem& problem, std::string_view name) const;
};

// `chosen` has the index of a candidate for every part; throws ErrorKind::kUsage if not.
Totals totals(const Problem& problem, std::span<const size_t> chosen);

// Whether a choice is within all limits.
bool meets(const Problem& problem, const Totals& totals, std::span<const Limit> limits);

// The smallest limit that can be met while nothing else is limited.
double smallest(const Problem& problem, std::string_view name);

}  // namespace pith::budget
