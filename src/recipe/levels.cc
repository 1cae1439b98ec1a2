#include "levels.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "pith/base/error.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/quantizers.h"

namespace pith::recipe {

using weights::Choosing;
using weights::FormCandidate;

namespace {

// A number from `least` to `most` and nothing else.
double level_number(std::string_view text, std::string_view level, double least, double most) {
  double v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || !(v >= least) || !(v <= most)) {
    fail(ErrorKind::kUsage,
         "'{}' is no level: write bits from 1 to 8, as 4, the share that is pruned, as 60%, the "
         "share of elements that a low rank has, as rank25%, or drop",
         level);
  }
  return v;
}

FormCandidate level_of(std::string_view text, uint64_t group, std::string_view more) {
  if (text == "drop") return {"drop", fit::nearest_fitter(form::parse("zeros"))};
  std::string_view digits = text;
  const bool share = digits.ends_with('%'), rank = digits.starts_with("rank");
  if (share) digits.remove_suffix(1);
  if (rank) digits.remove_prefix(4);
  if (share && rank) {
    const double kept = level_number(digits, text, 0.1, 100) / 100;
    return {std::string(text), [kept](const fit::Task& task) {
              const auto r = std::max<uint64_t>(fit::rank_of_share(task.weights.shape, kept), 1);
              const auto e = form::parse(fmt::format("lowrank({})", r));
              return fit::low_rank_fitter(e)(task);
            }};
  }
  if (share) {
    const double kept = 100 - level_number(digits, text, 1, 99);
    return {std::string(text),
            fit::sparse_fitter(form::parse(fmt::format("sparse({:.6g}%)", kept)))};
  }
  const double bits = level_number(digits, text, 1, 8);
  if (bits != static_cast<int>(bits) || rank) level_number("", text, 1, 8);
  const auto e =
      form::parse(fmt::format("uniform({}, group={}{})", static_cast<int>(bits), group, more));
  return {form::to_string(e), fit::feedback_fitter(e, {.sweeps = 0})};
}

}  // namespace

void add_levels(const Values& values, std::string_view more, Plan& plan) {
  const uint64_t group = number(values, "group", 1, 1 << 16);
  for (const std::string_view text : list(values, "levels")) {
    plan.candidates.push_back(level_of(text, group, more));
  }
  if (plan.candidates.size() < 2) {
    fail(ErrorKind::kUsage, "levels: there is nothing to choose of one");
  }
}

std::vector<std::string> names_of(const Plan& plan) {
  std::vector<std::string> names;
  for (const FormCandidate& c : plan.candidates) names.push_back(c.name);
  return names;
}

size_t candidate_named(const budget::Part& part, std::span<const std::string> names, size_t at) {
  for (size_t i = at + 1; i-- > 0;) {
    const auto found = std::ranges::find(part.candidates, names[i], &budget::Candidate::name);
    if (found != part.candidates.end()) {
      return static_cast<size_t>(found - part.candidates.begin());
    }
  }
  return 0;
}

double room(const Choosing& c, std::string_view resource) {
  double most = std::numeric_limits<double>::infinity();
  for (const budget::Limit& limit : c.goal.within) {
    if (limit.of == resource) most = std::min(most, limit.most);
  }
  return most;
}

}  // namespace pith::recipe
