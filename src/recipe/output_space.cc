// Published methods that keep the directions in which a matrix's outputs vary most.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/budget/groups.h"
#include "pith/budget/solve.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using weights::Choosing;
using Chosen = std::vector<size_t>;

fit::RankOf rank_of(double share) {
  return [share](form::Shape shape) { return fit::rank_of_share(shape, share); };
}

fit::TruncationOptions of_outputs(const Values& values) {
  return {.damping = real(values, "damping", 0, 1e3), .by = fit::Weighing::kMoments};
}

form::Expression factors_of(const Values& values) {
  return form::parse(values.find("factors")->second);
}

// The name without the numbers of layers and experts.
std::string kind_of(std::string_view name) {
  std::string kind;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string_view piece = name.substr(at, end - at);
    const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
    if (!std::ranges::all_of(piece, is_digit)) kind += fmt::format(".{}", piece);
    at = end + 1;
  }
  return kind;
}

// What has the same share as this part.
std::string group_of(std::string_view by, const Choosing& c, size_t part) {
  const std::string& name = c.problem.parts[part].name;
  if (by == "kind") return kind_of(name);
  if (by == "layer" && c.layers[part]) return fmt::format("layer {}", *c.layers[part]);
  return name;
}

void use_llm_rom(const Values& values, Plan& plan) {
  const std::string_view by = word(values, "same", {"kind", "layer", "matrix"});
  const std::string& leave = values.find("leave")->second;
  const std::vector<std::string_view> keeps = list(values, "keep");
  std::vector<fit::RankOf> ranks;
  for (const std::string_view keep : keeps) ranks.push_back(rank_of(share("keep", keep, 1)));
  std::vector<fit::Fitter> fitters =
      fit::nested_low_ranks(std::move(ranks), factors_of(values), of_outputs(values));
  for (size_t i = 0; i < keeps.size(); ++i) {
    plan.candidates.push_back({fmt::format("llm-rom {}", keeps[i]), fitters[i], 0, {}, true});
  }
  plan.allocation.keep = word(values, "inputs", {"compressed", "dense"}) == "dense";
  if (keeps.size() > 1) {
    plan.allocation.choose = [by = std::string(by)](const Choosing& c) {
      std::vector<std::string> groups;
      for (size_t i = 0; i < c.problem.parts.size(); ++i) groups.push_back(group_of(by, c, i));
      const budget::Groups grouped(c.problem, groups);
      const budget::Solution s = budget::solve(grouped.problem(), c.goal);
      if (!s.optimal()) c.note(s.note);
      return grouped.chosen(s.chosen);
    };
  }
  if (leave != "none") plan.write.forms.push_back(archive::lossless_rule(leave));
  leave_vocabulary(plan);
}

// What each matrix loses if it alone is in its first low rank.
std::vector<double> lost_alone(const Choosing& c, uint64_t windows) {
  if (!c.divergence) fail(ErrorKind::kUsage, "this method runs the model: it needs a text");
  const size_t n = c.problem.parts.size();
  std::vector<double> alone(n);
  for (size_t i = 0; i < n; ++i) {
    Chosen one(n, SIZE_MAX);
    one[i] = 0;
    alone[i] = c.divergence(one, windows, 0);
    report(c.progress, i + 1, n);
  }
  return alone;
}

// The last candidate, the matrix as it is, for those that lose most; of the others all of a kind
// have the same share.
Chosen all_but_the_worst(const Choosing& c, double skipped, uint64_t windows) {
  const std::vector<double> alone = lost_alone(c, windows);
  std::vector<size_t> order(alone.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](size_t i) { return alone[i]; });
  budget::Problem problem = c.problem;
  std::vector<std::string> groups;
  for (const budget::Part& part : problem.parts) groups.push_back(kind_of(part.name));
  const auto whole = static_cast<size_t>(std::lround(skipped * static_cast<double>(order.size())));
  for (size_t k = 0; k < order.size(); ++k) {
    budget::Part& part = problem.parts[order[k]];
    if (k < whole) {
      groups[order[k]] = part.name;
      part.candidates.erase(part.candidates.begin(), part.candidates.end() - 1);
    } else {
      part.candidates.pop_back();
    }
  }
  const budget::Groups grouped(problem, groups);
  const budget::Solution s = budget::solve(grouped.problem(), c.goal);
  if (!s.optimal()) c.note(s.note);
  Chosen chosen = grouped.chosen(s.chosen);
  for (size_t k = 0; k < whole; ++k) {
    chosen[order[k]] = c.problem.parts[order[k]].candidates.size() - 1;
  }
  return chosen;
}

void use_lord(const Values& values, Plan& plan) {
  const std::vector<std::string_view> keeps = list(values, "keep");
  std::vector<fit::RankOf> ranks;
  // A share of all elements is where it would break even.
  for (const std::string_view keep : keeps) ranks.push_back(rank_of(share("keep", keep, 1)));
  std::vector<fit::Fitter> fitters =
      fit::nested_low_ranks(std::move(ranks), factors_of(values), of_outputs(values));
  for (size_t i = 0; i < keeps.size(); ++i) {
    plan.candidates.push_back({fmt::format("lord {}", keeps[i]), fitters[i]});
  }
  plan.candidates.push_back({"whole", fit::nearest_fitter(form::parse("dense(bf16)"))});
  const double skip = share("skip", values.find("skip")->second, 1);
  const uint64_t windows = number(values, "windows", 1, 1 << 20);
  plan.allocation.keep = true;
  plan.allocation.has_limit = keeps.size() == 1;
  plan.allocation.choose = [=](const Choosing& c) { return all_but_the_worst(c, skip, windows); };
  leave_vocabulary(plan);
}

}  // namespace

Recipe llm_rom() {
  Recipe r;
  r.name = "llm-rom";
  r.id = "S144";
  r.title =
      "Rethinking Compression: Reduced Order Modelling of Latent Features in Large Language Models";
  r.area = "weights";
  r.summary =
      "The outputs of each matrix are projected onto the directions V in which they vary most on a "
      "text, so that W becomes V (Vᵀ W); layer after layer, each on what those before it give.";
  r.compose = "lowrank(r)";
  r.differs =
      "the eigenvectors come as left singular vectors of W l, l a root of the inputs' second "
      "moments; the matrices of a layer see what it computes before any of them is replaced; "
      "shares of several kinds are those of the least sum of expected divergences, not set by "
      "hand; nothing is trained.";
  r.verified =
      "recipe tests on layers of the reference model: less divergence than plain singular vectors "
      "of the same ranks, one share for all of a kind. All layers, 4096 tokens of calibration, "
      "divergence on 5120 held-out tokens: at 75% of the elements 0.106 (plain singular vectors "
      "0.143, columns removed by llm-surgeon at as many bytes 0.254), shares by kind at those "
      "bytes 0.071; at 50% 0.593 (plain 0.934), with damping=1 0.541; 50% of the last four layers "
      "alone 0.098. With 1024 tokens of calibration and damping=0 it loses more than plain "
      "singular vectors on the last four layers, 0.030 and 0.023 at 75%. Contradicted: inputs that "
      "compressed layers give are no better than dense ones, 0.106 and 0.104 at 75%, 0.593 and "
      "0.574 at 50%.";
  r.example = "pith compress lm --recipe llm-rom -O keep=75% -O damping=1";
  r.parts = {"fit/low_rank.h", "budget/groups.h", "budget/solve.h"};
  r.options = {
      {"keep", "50%", "of a matrix's elements, in both factors; several share out a limit"},
      {"same", "kind", "what gets the same of several: kind, layer or matrix"},
      {"leave", "none", "matrices that stay as they are, as a pattern of names"},
      {"inputs", "compressed", "what a layer is fitted on: compressed ones before it, or dense"},
      {"damping", "0", "added to the inputs' second moments, as a share of their mean"},
      {"factors", "dense(f16)", "the form of both factors"}};
  r.place = {.acts = {Act::kFactored, Act::kAllocated},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"5%", "10%", "15%", "20%", "25%", "35%", "50%", "75%"}}};
  r.apply = use_llm_rom;
  return r;
}

Recipe lord() {
  Recipe r;
  r.name = "lord";
  r.id = "S055";
  r.title = "LoRD: Low Rank Decomposition Of Monolingual Code LLMs For One-Shot Compression";
  r.area = "weights";
  r.summary =
      "The directions in which a matrix's outputs vary most on the text of one domain are kept, in "
      "one pass over the model as it was; matrices that lose most when they alone are decomposed "
      "stay whole.";
  r.compose = "lowrank(r), lowrank(r, factors=uniform(4, group=32)), dense(bf16)";
  r.differs =
      "what a matrix loses alone is the divergence from the model as it was, on calibration text; "
      "several shares are shared out by kind, by the least sum of expected divergences; factors "
      "are "
      "rounded to nearest instead of SpQR's way; no adapters are trained.";
  r.waits = "adapters";
  r.verified =
      "recipe tests on two layers of the reference model: calibrated on C++ less is lost of C++ "
      "than "
      "with prose, and the reverse; matrices that lose most alone stay whole, and less is lost; 4 "
      "bits of factors add less than 0.003 nats. All layers at 75% of the elements, 4096 tokens of "
      "calibration, divergence on 5120 held-out tokens: plain singular vectors 0.143, these with "
      "skip=0% 0.104, with skip=20% 0.0060 (perplexity +1.6% at 13.0 bits of 16), with factors in "
      "uniform(4, group=32) 0.0163 (+2.6% at 8.2 bits). Within its domain and out of it: 0.0075 on "
      "a "
      "novel, 0.0104 on WikiText-2. The whole model at 50% of the elements took 11% less time of "
      "one "
      "core. Not reached: less than 1% of perplexity at a quarter of the elements less in four "
      "fifths of the matrices.";
  r.example = "pith compress lm --recipe lord -O keep=75% -O windows=1";
  r.parts = {"fit/low_rank.h", "budget/groups.h", "weights/allocation.h"};
  r.options = {
      {"keep", "75%", "of a matrix's elements, in both factors; several share out a limit by kind"},
      {"skip", "20%", "of the matrices, those that lose most by themselves, stay whole"},
      {"windows", "2", "of calibration text that each is tried on by itself"},
      {"damping", "0", "added to the inputs' second moments, as a share of their mean"},
      {"factors", "dense(f16)", "the form of both factors"}};
  r.place = {.acts = {Act::kFactored},
             .patterns = {},
             .criterion = Criterion::kTried,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"5%+10%+15%+20%+25%+35%+50%+75%"}}, {"skip", {"0%", "20%"}}};
  r.apply = use_lord;
  return r;
}

}  // namespace pith::recipe
