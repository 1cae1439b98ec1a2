// Published methods for models with experts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "pith/base/error.h"
#include "pith/budget/solve.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using weights::Choosing;
using weights::FormCandidate;

// What an expert's loss at some bits is taken for: how often tokens come to it, how much of it they
// take, and the error of the layer's outputs, each to a power.
struct Powers {
  double frequency = 1, weight = 1, error = 2;
};

struct Sharing {
  std::vector<uint32_t> levels;    // bits, ascending
  std::vector<std::string> names;  // of their forms
  double mean = 2.5;
  bool by_layer = false;
  Powers powers;
  uint64_t windows = 4;
};

bool is_of_expert(std::string_view tensor) {
  return tensor.find(".experts.") != std::string_view::npos;
}

std::vector<uint32_t> levels_of(const Values& values) {
  std::vector<uint32_t> out;
  for (const std::string_view text : list(values, "levels")) {
    const auto bits =
        static_cast<uint32_t>(number({{"levels", std::string(text)}}, "levels", 1, 8));
    if (!out.empty() && bits <= out.back()) fail(ErrorKind::kUsage, "levels: they must rise");
    out.push_back(bits);
  }
  return out;
}

std::string form_of(uint32_t bits, uint64_t group) {
  return fmt::format("uniform({}, group={}, grid=gaussian)", bits, group);
}

// For matrices of experts, for others, or for both.
FormCandidate candidate(uint32_t bits, uint64_t group, bool experts, bool others) {
  const form::Expression e = form::parse(form_of(bits, group));
  return {form::to_string(e),
          [experts, others, fit = fit::feedback_fitter(e, {.sweeps = 0})](const fit::Task& task) {
            if (is_of_expert(task.name) ? !experts : !others) {
              fail(ErrorKind::kUsage, "these bits are for other matrices");
            }
            return fit(task);
          }};
}

// An expert and what it would be worth to give it so many bits.
struct ExpertParts {
  size_t layer = 0, expert = 0;
  std::vector<size_t> parts;  // of the problem
};

std::vector<ExpertParts> experts_of(const Choosing& c) {
  std::vector<ExpertParts> all;
  for (size_t i = 0; i < c.problem.parts.size(); ++i) {
    if (!c.experts[i]) continue;
    const size_t layer = *c.layers[i], expert = *c.experts[i];
    auto found = std::ranges::find_if(
        all, [&](const ExpertParts& e) { return e.layer == layer && e.expert == expert; });
    if (found == all.end()) found = all.insert(all.end(), {layer, expert, {}});
    found->parts.push_back(i);
  }
  return all;
}

// Of the layer's outputs, with these bits in one expert alone.
double output_error(const Choosing& c, const ExpertParts& e, size_t level, uint64_t windows) {
  std::vector<size_t> chosen(c.problem.parts.size(), std::numeric_limits<size_t>::max());
  for (const size_t i : e.parts) chosen[i] = level;
  return std::sqrt(c.stream_error(e.layer, e.layer + 1, chosen, windows));
}

budget::Problem expert_problem(const Choosing& c, const Sharing& s,
                               std::span<const ExpertParts> experts,
                               const weights::RoutingStudy& study) {
  budget::Problem problem{.resources = {"bits"}, .parts = {}};
  uint64_t done = 0;
  for (const ExpertParts& e : experts) {
    const weights::ExpertUse& use = study[e.layer].experts[e.expert];
    budget::Part part{.name = fmt::format("layer {} expert {}", e.layer, e.expert),
                      .candidates = {}};
    for (size_t j = 0; j < s.levels.size(); ++j) {
      // An expert that no token chose matters as little as there is.
      const double error = s.powers.error == 0
                               ? std::exp2(-2.0 * s.levels[j])
                               : std::pow(output_error(c, e, j, s.windows), s.powers.error);
      const double loss = std::pow(use.frequency, s.powers.frequency) *
                          std::pow(use.weight, s.powers.weight) * error;
      part.candidates.push_back({s.names[j], loss, {static_cast<double>(s.levels[j])}});
    }
    problem.parts.push_back(std::move(part));
    report(c.progress, ++done, experts.size());
  }
  return problem;
}

// Levels of experts, those of a layer or of the whole model together.
std::vector<size_t> share_out(const budget::Problem& problem, double mean) {
  const double most = mean * static_cast<double>(problem.parts.size());
  return budget::solve(problem, {.within = {{"bits", most}}}, {.solver = budget::Solver::kInteger})
      .chosen;
}

std::vector<size_t> choose_bits(const Choosing& c, const Sharing& s) {
  std::vector<size_t> chosen(c.problem.parts.size(), 0);
  const std::vector<ExpertParts> experts = experts_of(c);
  if (experts.empty()) {
    c.note("the model has no experts: all matrices are of the bits of others");
    return chosen;
  }
  if (!c.stream_error) fail(ErrorKind::kUsage, "this method runs the model: it needs a text");
  const budget::Problem all = expert_problem(c, s, experts, c.routing());
  for (size_t first = 0; first < experts.size();) {
    size_t last = first + 1;
    while (last < experts.size() && (!s.by_layer || experts[last].layer == experts[first].layer)) {
      ++last;
    }
    budget::Problem some{.resources = all.resources, .parts = {}};
    some.parts.assign(all.parts.begin() + static_cast<ptrdiff_t>(first),
                      all.parts.begin() + static_cast<ptrdiff_t>(last));
    const std::vector<size_t> levels = share_out(some, s.mean);
    for (size_t k = first; k < last; ++k) {
      for (const size_t i : experts[k].parts) chosen[i] = levels[k - first];
    }
    first = last;
  }
  const budget::Totals totals = budget::totals(c.problem, chosen);
  if (!budget::meets(c.problem, totals, c.goal.within)) {
    fail(ErrorKind::kLimit,
         "{:.0f} bytes of matrices are needed for experts of {} bits on the mean, which is beyond "
         "the limits: give them fewer with mean",
         totals.of(c.problem, "bytes"), s.mean);
  }
  return chosen;
}

void use_mc_moe(const Values& values, Plan& plan) {
  Sharing s;
  s.levels = levels_of(values);
  const auto others = static_cast<uint32_t>(number(values, "others", 1, 8));
  const uint64_t group = number(values, "group", 1, 1 << 16);
  s.mean = real(values, "mean", s.levels.front(), 8);
  s.by_layer = word(values, "share", {"layer", "model"}) == "layer";
  s.powers = {real(values, "frequency", 0, 8), real(values, "weight", 0, 8),
              real(values, "error", 0, 8)};
  s.windows = number(values, "windows", 1, 1 << 20);
  for (const uint32_t bits : s.levels) {
    plan.candidates.push_back(candidate(bits, group, true, bits == others));
    s.names.push_back(plan.candidates.back().name);
  }
  if (std::ranges::find(s.levels, others) == s.levels.end()) {
    plan.candidates.push_back(candidate(others, group, false, true));
  }
  plan.allocation.keep = true;
  plan.allocation.has_limit = true;
  plan.allocation.choose = [s](const Choosing& c) { return choose_bits(c, s); };
  const double drop = real(values, "drop", 0, 100) / 100;
  const double protect = real(values, "protect", 0, 100) / 100;
  if (drop > 0) plan.leave_out = weights::LeaveOut{.share = drop, .kept_whole = protect};
}

}  // namespace

Recipe mc_moe() {
  Recipe r;
  r.name = "mc-moe";
  r.id = "S304";
  r.title = "MC-MoE: Mixture Compressor for Mixture-of-Experts LLMs Gains More";
  r.area = "weights";
  r.summary =
      "Experts get 1, 2 or 3 bits by an integer program, within a mean: by how often tokens choose "
      "an expert, how much of it they take, and what the layer's outputs lose. When "
      "the model runs, tokens whose router is sure do without their second expert, unless they are "
      "among the few that matter most.";
  r.compose =
      "uniform(1 … 3, group=128, grid=gaussian) for experts, uniform(4, …) for all others; "
      "expert_thresholds in config.json";
  r.differs =
      "the mean is one for all layers unless share=layer; no layer must have experts of 2 and of 3 "
      "bits; codes have the levels of a normal variable, one bit a sign; forms are fitted on what "
      "the model as it was gives. A token's importance counts the attention that it pays itself, "
      "which is known when it is read, instead of what later ones pay it, and is held against a "
      "threshold from the calibration text instead of ranked among the tokens at hand; weights of "
      "the experts that stay add up to 1 where they did.";
  r.verified =
      "recipe tests on a mixture made of the reference model: eight experts of 256 neurons in each "
      "layer, two for a token, clusters of inputs with a router fitted by least squares. Experts "
      "of 2.5 bits on the mean, others of 4, the same bytes (1536 tokens of books-valid, "
      "divergence and perplexity; 61.4 before): 0.073, 66.2; with a mean for each layer 0.102, "
      "67.6; by frequency alone 0.119, 68.4; by the error alone 0.074, 66.5. Half of the second "
      "experts left out where the router is sure, 1.5 a token: divergence 0.006 (2048 tokens), "
      "and 1.25 a token 0.018. Contradicted on this mixture: tokens that keep all experts do not "
      "lose less at as many experts a token; 0.0058 without any, 0.0062 with 2% of them (0.0061 "
      "by the attention that later ones pay, and 0.0061 with tokens at random).";
  r.example = "pith compress mixture --recipe mc-moe";
  r.parts = {"weights/routing.h", "weights/allocation.h", "budget/solve.h", "fit/feedback.h",
             "model/config.h"};
  r.options = {{"levels", "1+2+3", "bits of experts, with + between them, rising"},
               {"mean", "2.5", "of the bits of experts, at most"},
               {"others", "4", "bits of all other matrices"},
               {"group", "128", "neighbours in a row that share a scale"},
               {"share", "model", "the mean is that of the model, or of each layer"},
               {"frequency", "1", "power of how often an expert is chosen"},
               {"weight", "1", "power of its mean weight for these tokens"},
               {"error", "2", "power of the error of the layer's outputs; 0: a quarter a bit"},
               {"windows", "4", "of calibration text that errors are measured on"},
               {"drop", "50",
                "percent of the experts beside the heaviest, of the smallest ratios, that are left "
                "out when the model runs; 0: none"},
               {"protect", "2", "percent of tokens, the most important, that keep all experts"}};
  r.place = {.acts = {Act::kAllocated, Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kTried,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kGraph};
  r.sizes = {{"mean", {"1.5", "2", "2.5", "3"}}};
  r.needs = {.experts = true, .nearest = "hawq-v3"};
  r.apply = use_mc_moe;
  return r;
}

}  // namespace pith::recipe
