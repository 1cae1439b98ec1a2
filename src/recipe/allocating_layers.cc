// Published methods that choose forms for whole layers by running the model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "levels.h"
#include "pith/base/error.h"
#include "pith/budget/blocks.h"
#include "pith/budget/solve.h"

namespace pith::recipe {
namespace {

using weights::Choosing;
using Chosen = std::vector<size_t>;

void need_text(const Choosing& c) {
  if (!c.divergence) fail(ErrorKind::kUsage, "this method runs the model: it needs a text");
}

// A part for each layer, whose candidates give all its matrices the same form.
struct LayerProblem {
  budget::Problem problem{.resources = {"bytes", "milliseconds"}, .parts = {}};
  std::vector<std::vector<size_t>> parts;  // of each layer: those of the problem of matrices
  Chosen others;                           // of all: the last candidate for those of no layer
  budget::Totals apart;                    // of these
};

LayerProblem layer_problem(const Choosing& c, std::span<const std::string> names) {
  LayerProblem out;
  out.apart.costs.assign(2, 0);
  for (size_t i = 0; i < c.problem.parts.size(); ++i) {
    const budget::Part& part = c.problem.parts[i];
    out.others.push_back(part.candidates.size() - 1);
    if (c.layers[i]) {
      out.parts.resize(std::max(out.parts.size(), *c.layers[i] + 1));
      out.parts[*c.layers[i]].push_back(i);
      continue;
    }
    for (size_t k = 0; k < 2; ++k) out.apart.costs[k] += part.candidates.back().costs[k];
  }
  for (size_t l = 0; l < out.parts.size(); ++l) {
    budget::Part layer{.name = fmt::format("layer {}", l), .candidates = {}};
    for (size_t j = 0; j < names.size(); ++j) {
      budget::Candidate all{.name = names[j], .loss = 0, .costs = {0, 0}};
      for (const size_t i : out.parts[l]) {
        const budget::Part& part = c.problem.parts[i];
        const budget::Candidate& one = part.candidates[candidate_named(part, names, j)];
        for (size_t k = 0; k < 2; ++k) all.costs[k] += one.costs[k];
        all.loss += one.loss;
      }
      layer.candidates.push_back(std::move(all));
    }
    out.problem.parts.push_back(std::move(layer));
  }
  return out;
}

// The problem of matrices where these layers, from `first` on, have the candidates of their problem
// that were chosen, and all others the last one.
Chosen of_layers(const Choosing& c, const LayerProblem& p, std::span<const std::string> names,
                 size_t first, std::span<const size_t> chosen) {
  Chosen all = p.others;
  for (size_t l = 0; l < chosen.size(); ++l) {
    for (const size_t i : p.parts[first + l]) {
      all[i] = candidate_named(c.problem.parts[i], names, chosen[l]);
    }
  }
  return all;
}

// What limits leave to layers.
std::vector<budget::Limit> layer_limits(const Choosing& c, const LayerProblem& p) {
  if (std::isfinite(room(c, budget::kLoss))) {
    fail(ErrorKind::kUsage,
         "this method goes by losses that say nothing of divergence or perplexity beforehand: it "
         "takes limits on bytes and time");
  }
  std::vector<budget::Limit> limits;
  for (size_t k = 0; k < 2; ++k) {
    const std::string& resource = p.problem.resources[k];
    const double most = room(c, resource);
    if (std::isinf(most)) continue;
    if (most < p.apart.costs[k]) {
      fail(ErrorKind::kLimit, "{}: at most {} cannot be met, embedding and head alone take {:.0f}",
           resource, most, p.apart.costs[k]);
    }
    limits.push_back({resource, most - p.apart.costs[k]});
  }
  return limits;
}

// Layers instead of matrices evolve: whole ones may be dropped.
Chosen evolve_layers(const Choosing& c, std::span<const std::string> names,
                     const budget::EvolveOptions& options) {
  const LayerProblem p = layer_problem(c, names);
  const auto loss = [&](std::span<const size_t> chosen, uint64_t windows, uint64_t round) {
    return c.divergence(of_layers(c, p, names, 0, chosen), windows, round);
  };
  const budget::Evolved e = budget::evolve(p.problem, layer_limits(c, p), loss, options);
  return of_layers(c, p, names, 0, e.chosen);
}

void use_evopress(const Values& values, Plan& plan) {
  add_levels(values, ", zero=true", plan);
  budget::EvolveOptions options;
  options.offspring = number(values, "offspring", 4, 1000);
  options.generations = number(values, "generations", 1, 100'000);
  options.seed = number(values, "seed", 0, UINT32_MAX);
  const uint64_t most = number(values, "windows", 1, 1 << 20);
  options.stages = {{std::max<uint64_t>(most / 8, 1), std::max<size_t>(options.offspring / 4, 2)},
                    {std::max<uint64_t>(most / 2, 1), 2},
                    {most, 1}};
  const std::string& unit = values.find("unit")->second;
  if (unit != "matrix" && unit != "layer") {
    fail(ErrorKind::kUsage, "unit must be matrix or layer, not '{}'", unit);
  }
  plan.allocation.keep = true;
  plan.allocation.choose = [options, names = names_of(plan),
                            by_layer = unit == "layer"](const Choosing& c) {
    need_text(c);
    budget::EvolveOptions o = options;
    o.progress = c.progress;
    if (by_layer) return evolve_layers(c, names, o);
    return budget::evolve(c.problem, c.goal.within, c.divergence, o).chosen;
  };
}

enum class Grouping : uint8_t { kEntropy, kFixed, kNone };

struct BlockOptions {
  Grouping grouping = Grouping::kEntropy;
  double quantile = 0.5;  // of layers, whose entropy is the threshold
  size_t most_layers = 3;
  uint64_t windows = 2;
};

std::vector<budget::Block> blocks_of(const Choosing& c, size_t layers, const BlockOptions& o) {
  if (o.grouping == Grouping::kEntropy) {
    if (c.entropies.size() != layers + 1) {
      fail(ErrorKind::kUsage, "entropies of {} layers are known, the model has {}",
           c.entropies.size(), layers);
    }
    // Of what each layer gives on.
    const std::vector<double> after(c.entropies.begin() + 1, c.entropies.end());
    std::vector<double> sorted = after;
    std::ranges::sort(sorted);
    const auto at = static_cast<size_t>(o.quantile * static_cast<double>(layers));
    return budget::entropy_blocks(after, sorted[std::min(at, layers - 1)], o.most_layers);
  }
  const size_t size = o.grouping == Grouping::kFixed ? o.most_layers : 1;
  std::vector<budget::Block> blocks;
  for (size_t l = 0; l < layers; l += size) blocks.push_back({l, std::min(l + size, layers)});
  return blocks;
}

Chosen choose_by_blocks(const Choosing& c, std::span<const std::string> names,
                        const BlockOptions& o) {
  need_text(c);
  LayerProblem p = layer_problem(c, names);
  const budget::Goal goal{.within = layer_limits(c, p)};
  const size_t layers = p.parts.size();
  const auto error = [&](const budget::Block& block, std::span<const size_t> chosen) {
    return c.stream_error(block.first, block.last, of_layers(c, p, names, block.first, chosen),
                          o.windows);
  };
  for (size_t l = 0; l < layers; ++l) {
    for (size_t j = 0; j < names.size(); ++j) {
      p.problem.parts[l].candidates[j].loss = error({l, l + 1}, std::span(&j, 1));
    }
  }
  const budget::Blocks joined(p.problem, blocks_of(c, layers, o), error, 4096, c.progress);
  return of_layers(c, p, names, 0, joined.chosen(budget::solve(joined.problem(), goal).chosen));
}

void use_q_vlm(const Values& values, Plan& plan) {
  add_levels(values, "", plan);
  BlockOptions o;
  const std::string& grouping = values.find("blocks")->second;
  if (grouping == "fixed") {
    o.grouping = Grouping::kFixed;
  } else if (grouping == "none") {
    o.grouping = Grouping::kNone;
  } else if (grouping != "entropy") {
    fail(ErrorKind::kUsage, "blocks must be entropy, fixed or none, not '{}'", grouping);
  }
  o.quantile = static_cast<double>(number(values, "below", 0, 100)) / 100;
  o.most_layers = number(values, "layers", 1, 6);
  o.windows = number(values, "windows", 1, 1 << 20);
  plan.allocation.keep = true;
  plan.allocation.choose = [names = names_of(plan), o](const Choosing& c) {
    return choose_by_blocks(c, names, o);
  };
}

}  // namespace

Recipe evopress() {
  Recipe r;
  r.name = "evopress";
  r.id = "S012";
  r.title = "EvoPress: Accurate Dynamic Model Compression via Evolutionary Search";
  r.area = "weights";
  r.summary =
      "Every matrix is fitted at every level beforehand; then choices of a level for each evolve: "
      "offspring raise some matrices and lower others, so that the size stays, and live by the "
      "divergence of the stitched model on calibration text, the better ones on more text.";
  r.compose = "uniform(2 … 5, group=128, zero=true), one of them for each matrix";
  r.differs =
      "the first parent is the choice of the least sum of expected divergences, not of equal "
      "levels; a limit counts bytes, so that several small matrices may pay for a large one; "
      "single matrices or whole layers are dropped, not attention apart from the rest; all forms "
      "of the model stay in memory while it evolves.";
  r.verified =
      "recipe tests on the reference model, half of its layers at the bytes of 3 bits: less "
      "divergence on held-out text than equal bits and than dynamic programming over summed "
      "squared errors of matrices and of outputs, and two choices of which the one with more error "
      "loses less; of the 28 pairs of layers that may be left out, it finds the best or the second "
      "best. At 3.3 bits of the whole file (divergence): equal bits 0.052, summed squared errors "
      "0.052, evolution from equal bits 0.032 after 10 generations. Summed expected divergences "
      "give 0.0255, and 10 generations from there found nothing better.";
  r.example = "pith compress lm --recipe evopress --bits 3.2";
  r.parts = {"budget/evolve.h", "weights/allocation.h", "fit/feedback.h"};
  r.options = {{"levels", "2+3+4+5",
                "bits, pruned shares as 60%, ranks as rank25%, or drop, with + between them"},
               kGroup,
               {"unit", "matrix",
                "what gets a level: matrix, or layer, all of whose matrices get the "
                "same (with drop among the levels: which layers to leave out)"},
               {"generations", "40", "of offspring, at most"},
               {"offspring", "16", "in each, at least 4"},
               {"windows", "8", "of calibration text that the last of a generation are run on"},
               {"seed", "0", "of mutations"}};
  r.place = {.acts = {Act::kAllocated, Act::kQuantized, Act::kPruned, Act::kFactored},
             .patterns = {Pattern::kElements, Pattern::kWhole},
             .criterion = Criterion::kTried,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"levels", {"2+3+4+5+6+8"}}};
  r.networks = false;  // goes by the layers of a decoder
  r.apply = use_evopress;
  return r;
}

Recipe q_vlm() {
  Recipe r;
  r.name = "q-vlm";
  r.id = "S044";
  r.title = "Q-VLM: Post-training Quantization for Large Vision-Language Models";
  r.area = "weights";
  r.summary =
      "Where the entropy of the residual stream is high, errors of a layer depend on those before "
      "it: such layers are searched together, in blocks, by the error of the block's outputs, and "
      "all others alone.";
  r.compose = "uniform(3 … 6, group=128), one of them for each layer";
  r.differs =
      "bits of a whole layer are searched instead of clipping and rounding; weights only; there is "
      "no "
      "visual encoder to tune; embedding and head get the last level.";
  r.waits = "visual encoders";
  r.verified =
      "recipe tests: less divergence than every layer alone, about that of fixed blocks of three "
      "with "
      "fewer runs of layers. On the reference model at 3.9, 4.6, 5.1 and 5.8 bits of the file, "
      "divergence by entropy (96 layers run) 0.0119, 0.0041, 0.0020, 0.0011; every layer alone "
      "(32) "
      "0.0127, 0.0043, 0.0020, 0.0011; fixed blocks of two (160) 0.0120, 0.0044, 0.0020, 0.0011, "
      "of "
      "three (448) the same but 0.0021. The sum of expected divergences, each matrix by itself, "
      "loses "
      "less than all: 0.0081, 0.0032, 0.0016. What the errors of two neighbours make together is "
      "at "
      "most 5% more than their sum; over 7 pairs its rank correlation with the entropy between "
      "them "
      "is 0.5 at 3 bits and 0.7 at 4.";
  r.example = "pith compress lm --recipe q-vlm --bits 4.5";
  r.parts = {"budget/blocks.h", "budget/solve.h", "weights/allocation.h", "fit/feedback.h"};
  r.options = {{"levels", "3+4+5+6",
                "bits of a code, with + between them; embedding and head get "
                "the last"},
               kGroup,
               {"blocks", "entropy", "entropy, fixed, or none: every layer alone"},
               {"below", "50", "percent of layers, the ones of least entropy, are searched alone"},
               {"layers", "3", "in a block, at most"},
               {"windows", "2", "of calibration text that blocks are run on"}};
  r.place = {.acts = {Act::kAllocated, Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kTried,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"levels", {"2+3+4+6"}}};
  r.networks = false;  // goes by the layers of a decoder
  r.apply = use_q_vlm;
  return r;
}

}  // namespace pith::recipe
