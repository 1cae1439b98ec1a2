// Published methods that remove what makes a model slow on the machine at hand.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/budget/solve.h"
#include "pith/fit/unit_removal.h"
#include "pith/weights/part_study.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using model::ReducedLayer;
using model::Reduction;
using weights::HiddenUnits;
using weights::KeptUnits;
using weights::Reducing;

// What one part of a layer can be: with so many of its units, and what that loses.
struct Level {
  uint64_t kept = 0;
  double loss = 0;  // squared error of the outputs, as a share of their squares
  std::optional<ReducedLayer> layer = {};
};

class LeveledPart {
 public:
  // steps: sizes beside all of it.
  LeveledPart(const HiddenUnits& units, double damping, uint64_t steps, int threads)
      : layer_(units.layer),
        heads_(units.heads),
        sizes_(units.sizes),
        weights_(units.weights.shape),
        moments_(units.inputs, units.group, damping, threads),
        path_(fit::removal_path(moments_, units.weights)) {
    std::copy_n(units.weights.data, weights_.values.size(), weights_.values.begin());
    const uint64_t all = moments_.units(), parts = std::min(steps, all);
    for (uint64_t s = 0; s <= parts; ++s) {
      const uint64_t kept = all - all * s / parts;
      levels_.push_back({kept, path_.errors[all - kept] / path_.errors.back(), {}});
    }
  }

  uint32_t layer() const { return layer_; }
  bool heads() const { return heads_; }
  // Falling; the last is nothing at all.
  const std::vector<Level>& levels() const { return levels_; }

  // What is kept at a level, without and with what makes up for the rest.
  ReducedLayer kept(size_t level) const { return with(units_at(level), {}); }
  const ReducedLayer& made(size_t level) {
    std::optional<ReducedLayer>& there = levels_[level].layer;
    if (!there) {
      const std::vector<uint32_t> units = units_at(level);
      there =
          with(units, level == 0 || units.empty() ? form::Matrix()
                                                  : fit::folded(moments_, weights_.view(), units));
    }
    return *there;
  }

 private:
  std::vector<uint32_t> units_at(size_t level) const {
    std::vector<uint32_t> units(
        path_.order.end() - static_cast<std::ptrdiff_t>(levels_[level].kept), path_.order.end());
    std::ranges::sort(units);
    return units;
  }
  ReducedLayer with(std::vector<uint32_t> units, form::Matrix weights) const {
    ReducedLayer out;
    const fit::Metric none;
    weights::take_units({.layer = layer_,
                         .heads = heads_,
                         .group = moments_.group(),
                         .sizes = sizes_,
                         .weights = weights_.view(),
                         .inputs = none},
                        {std::move(units), std::move(weights)}, out);
    return out;
  }

  uint32_t layer_;
  bool heads_;
  model::LayerSizes sizes_;
  form::Matrix weights_;
  fit::UnitMoments moments_;
  fit::RemovalPath path_;
  std::vector<Level> levels_;
};

struct ShrinkOptions {
  double speedup = 1.5;
  uint64_t steps = 10, trials = 30, windows = 4, seed = 1, position = 128;
  double damping = 1e-3;
  bool uniform = false;
};

// Every part, by the order in which its units cost least.
std::vector<LeveledPart> leveled_parts(const Reducing& r, const ShrinkOptions& o) {
  std::vector<LeveledPart> parts;
  const auto look = [&](const HiddenUnits& u) -> std::optional<KeptUnits> {
    parts.emplace_back(u, o.damping, o.steps, r.threads);
    return std::nullopt;
  };
  weights::reduce_units(r, look, false);
  return parts;
}

// Of parts at these levels, as `layer_of` gives them.
template <class Parts, class LayerOf>
Reduction reduction_of(uint32_t layers, Parts& parts, const LayerOf& layer_of) {
  Reduction out{std::vector<ReducedLayer>(layers)};
  for (size_t p = 0; p < parts.size(); ++p) {
    const ReducedLayer from = layer_of(parts[p], p);
    ReducedLayer& to = out.layers[parts[p].layer()];
    if (parts[p].heads()) {
      to.heads = from.heads;
      to.output = from.output;
    } else {
      to.units = from.units;
      to.down = from.down;
    }
  }
  return out;
}

Reduction made_reduction(uint32_t layers, std::vector<LeveledPart>& parts,
                         std::span<const size_t> chosen) {
  return reduction_of(layers, parts,
                      [&](LeveledPart& part, size_t p) { return part.made(chosen[p]); });
}

// Milliseconds for a token of each kind of part at each level, and of all that is no such part: the
// model with that level in all layers and nothing else, less the model without any part.
class Latencies {
 public:
  Latencies(const Reducing& r, const std::vector<LeveledPart>& parts, uint64_t position)
      : r_(r), parts_(parts), position_(position) {
    std::vector<size_t> none;
    for (const LeveledPart& p : parts) none.push_back(p.levels().size() - 1);
    const model::LanguageModel* first = &r.model;
    whole_ = 1e3 * r.seconds({&first, 1}, position, r.threads).front();
    rest_ = milliseconds(none);
    for (const bool heads : {true, false}) measure(heads, none);
    // Parts are a little faster beside each other than alone, or slower: all of them take what the
    // whole model does.
    double sum = rest_;
    for (const LeveledPart& p : parts) sum += of(p, 0);
    scale_ = sum > rest_ ? (whole_ - rest_) / (sum - rest_) : 1;
  }

  double rest() const { return rest_; }
  double whole() const { return whole_; }
  double of(const LeveledPart& part, size_t level) const {
    const uint64_t kept = part.levels()[level].kept;
    return scale_ * table_.at({part.heads(), kept});
  }
  // Beside the whole model each time, for machines are faster at one time than at another: what
  // counts is by how much.
  double milliseconds(std::span<const size_t> chosen) const {
    // Times do not depend on what the weights are.
    const Reduction reduction =
        reduction_of(r_.model.config().layers, parts_,
                     [&](const LeveledPart& part, size_t p) { return part.kept(chosen[p]); });
    const model::LanguageModel model =
        model::make_model(model::ReducedWeights(r_.source, reduction));
    const std::array<const model::LanguageModel*, 2> both{&r_.model, &model};
    const std::vector<double> taken = r_.seconds(both, position_, r_.threads);
    return whole_ * taken[1] / taken[0];
  }

 private:
  // Parts of a kind are of one size in most models; those that are not take the time of the first
  // with as many units.
  void measure(bool heads, std::vector<size_t> chosen) {
    size_t levels = 0;
    for (const LeveledPart& p : parts_) {
      if (p.heads() == heads) levels = std::max(levels, p.levels().size());
    }
    double above = INFINITY;
    for (size_t at = 0; at < levels; ++at) {
      uint64_t count = 0;
      for (size_t p = 0; p < parts_.size(); ++p) {
        if (parts_[p].heads() != heads) continue;
        chosen[p] = std::min(at, parts_[p].levels().size() - 1);
        ++count;
      }
      const double taken = std::max(milliseconds(chosen) - rest_, 0.0) / static_cast<double>(count);
      // Noise aside, less is never slower.
      above = std::min(above, taken);
      for (size_t p = 0; p < parts_.size(); ++p) {
        if (parts_[p].heads() != heads) continue;
        const uint64_t kept = parts_[p].levels()[chosen[p]].kept;
        table_.try_emplace({heads, kept}, kept == 0 ? 0 : above);
      }
    }
  }

  const Reducing& r_;
  const std::vector<LeveledPart>& parts_;
  uint64_t position_;
  double rest_ = 0, whole_ = 0, scale_ = 1;
  std::map<std::pair<bool, uint64_t>, double> table_;
};

budget::Problem problem_of(const std::vector<LeveledPart>& parts, const Latencies& latencies) {
  budget::Problem problem{.resources = {"milliseconds"}, .parts = {}};
  for (const LeveledPart& p : parts) {
    budget::Part part{.name = fmt::format("{}{}", p.heads() ? "a" : "f", p.layer()),
                      .candidates = {}};
    for (size_t l = 0; l < p.levels().size(); ++l) {
      part.candidates.push_back(
          {std::to_string(p.levels()[l].kept), p.levels()[l].loss, {latencies.of(p, l)}});
    }
    problem.parts.push_back(std::move(part));
  }
  return problem;
}

using Chosen = std::vector<size_t>;

// The same level of all parts, the largest that is fast enough.
Chosen same_level(const budget::Problem& problem, double most) {
  size_t levels = 0;
  for (const budget::Part& part : problem.parts) levels = std::max(levels, part.candidates.size());
  for (size_t at = 0;; ++at) {
    Chosen chosen;
    for (const budget::Part& part : problem.parts) {
      const size_t last = part.candidates.size() - 1;
      chosen.push_back(levels == 1 ? 0 : at * last / (levels - 1));
    }
    if (at + 1 >= levels || budget::totals(problem, chosen).costs[0] <= most) return chosen;
  }
}

budget::Problem weighed(budget::Problem problem, std::span<const double> weights) {
  for (size_t p = 0; p < weights.size(); ++p) {
    for (budget::Candidate& c : problem.parts[p].candidates) c.loss *= weights[p];
  }
  return problem;
}

Chosen solved(const budget::Problem& problem, double most) {
  const budget::Goal goal{.within = {{"milliseconds", most}}};
  return budget::solve(problem, goal, {.solver = budget::Solver::kDynamic}).chosen;
}

// What the model loses for each part's own loss, where that part alone is half as large.
std::vector<double> sensitivities(const budget::Problem& problem,
                                  const std::function<double(const Chosen&)>& loss) {
  std::vector<double> out;
  for (size_t p = 0; p < problem.parts.size(); ++p) {
    Chosen chosen(problem.parts.size(), 0);
    chosen[p] = problem.parts[p].candidates.size() / 2;
    const double own = problem.parts[p].candidates[chosen[p]].loss;
    out.push_back(own > 0 ? loss(chosen) / own : 1);
  }
  return out;
}

// Losses of parts are not equally bad: some of them are tried louder or softer, and what the model
// then really loses decides. Returns the problem with the losses that were best.
budget::Problem search(const budget::Problem& problem, double most, const ShrinkOptions& o,
                       const std::function<double(const Chosen&)>& loss) {
  std::vector<double> best(problem.parts.size(), 1);
  Chosen chosen;
  double least = INFINITY;
  for (uint64_t trial = 0; trial <= o.trials; ++trial) {
    std::vector<double> weights = best;
    for (size_t p = 0; trial > 0 && p < weights.size(); ++p) {
      constexpr double kChanged = 0.2, kMost = 2;
      if (random_unit(o.seed, 2 * (trial * weights.size() + p)) > kChanged) continue;
      const double by = random_unit(o.seed, 2 * (trial * weights.size() + p) + 1);
      weights[p] *= std::exp2(kMost * (2 * by - 1));
    }
    const Chosen tried = solved(weighed(problem, weights), most);
    if (tried == chosen) continue;
    const double lost = o.trials == 0 ? 0 : loss(tried);
    if (lost < least) std::tie(best, chosen, least) = std::tuple(weights, tried, lost);
  }
  return weighed(problem, best);
}

// The table is of one kind of part at a time, and parts beside each other are faster or slower than
// that: the time that is asked of it is turned until what comes of it is as fast as wanted, beside
// the whole model, measured anew each time.
Chosen at_speed(const Latencies& latencies, double speedup, double most,
                const std::function<Chosen(double most)>& choose) {
  constexpr int kTries = 8;
  constexpr double kNear = 0.02, kFar = 2;
  Chosen best;
  double least = INFINITY, asked = most;
  for (int i = 0; i < kTries && least > kNear; ++i) {
    const Chosen chosen = choose(asked);
    const double now = latencies.milliseconds(chosen);
    const double off = std::abs(latencies.whole() / now / speedup - 1);
    if (off < least) std::tie(best, least) = std::tuple(chosen, off);
    const double parts = std::max(now - latencies.rest(), most / kFar);
    asked = std::clamp(asked * most / parts, most / kFar, most * kFar);
  }
  return best;
}

Reduction shrink(const Reducing& r, const ShrinkOptions& o) {
  const uint32_t layers = r.model.config().layers;
  std::vector<LeveledPart> parts = leveled_parts(r, o);
  const Latencies latencies(r, parts, o.position);
  const budget::Problem problem = problem_of(parts, latencies);
  const double wanted = latencies.whole() / o.speedup;
  r.note(fmt::format("a token takes {:.3f} ms, {:.3f} ms of it outside of layers' parts",
                     latencies.whole(), latencies.rest()));
  if (wanted <= latencies.rest()) {
    fail(ErrorKind::kLimit,
         "speedup: a token takes {:.3f} ms, and {:.3f} ms without any layer: {:.2f} times as fast "
         "is the most",
         latencies.whole(), latencies.rest(), latencies.whole() / latencies.rest());
  }
  const double most = wanted - latencies.rest();
  const auto loss = [&](const Chosen& chosen) {
    return r.divergence(made_reduction(layers, parts, chosen), o.windows);
  };
  const auto searched = [&] {
    return search(o.trials == 0 ? problem : weighed(problem, sensitivities(problem, loss)), most, o,
                  loss);
  };
  const budget::Problem best = o.uniform ? problem : searched();
  const Chosen chosen = at_speed(latencies, o.speedup, most, [&](double asked) {
    return o.uniform ? same_level(best, asked) : solved(best, asked);
  });
  std::vector<std::string> kept;
  for (size_t p = 0; p < parts.size(); ++p) {
    kept.push_back(problem.parts[p].name + ":" + problem.parts[p].candidates[chosen[p]].name);
  }
  r.note(fmt::format("kept units of attention and feed-forward parts: {}", fmt::join(kept, " ")));
  const double now = latencies.milliseconds(chosen);
  r.note(fmt::format("a token takes {:.3f} ms now: {:.2f} times as fast, of {:.2f} wanted", now,
                     latencies.whole() / now, o.speedup));
  return made_reduction(layers, parts, chosen);
}

void use_ziplm(const Values& values, Plan& plan) {
  ShrinkOptions o;
  o.speedup = real(values, "speedup", 1, 1000);
  o.steps = number(values, "steps", 2, 1000);
  o.trials = number(values, "trials", 0, 100'000);
  o.windows = number(values, "windows", 1, 1 << 20);
  o.seed = number(values, "seed", 0, UINT32_MAX);
  o.position = number(values, "position", 0, 1 << 20);
  o.damping = real(values, "damping", 1e-12, 1e3);
  o.uniform = word(values, "share", {"search", "uniform"}) == "uniform";
  plan.reduce = [o](const Reducing& r) { return shrink(r, o); };
}

}  // namespace

Recipe ziplm() {
  Recipe r;
  r.name = "ziplm";
  r.id = "S043";
  r.title = "ZipLM: Hardware-Aware Structured Pruning of Language Models";
  r.area = "weights";
  r.summary =
      "Neurons and heads go one after the other, the cheapest first, while what is left makes up "
      "for them; how long each size of a part takes is measured, and dynamic programming finds the "
      "sizes with the least error that are as fast as asked for. Weights of the errors are varied "
      "at random, and what the model then loses on text decides.";
  r.compose = "the model's own forms; narrower matrices";
  r.differs =
      "without the retraining that the paper adds; errors are squared, as shares of the part's own "
      "outputs, weighed by what the model loses where one part alone is halved before they are "
      "varied; sizes of feed-forward parts fall in equal steps instead of by tenths; heads go by "
      "groups that share keys and values; times are those of one token behind some others.";
  r.waits = "distillation";
  r.verified =
      "tests: removal one after the other loses what the weights that are left lose, refitted at "
      "once, and each step is the cheapest; with a clock that counts elements 1.5, 2 and 3 times "
      "as fast come within 5%; on the reference model, as fast as one level of all parts, less is "
      "lost than with that, and than without three layers, which is no faster. Before what one "
      "part "
      "alone loses was measured, two trials lost more than equal levels (0.360 and 0.323 at equal "
      "speed). Asked for 1.5, 2 and 3 times on a core at rest, its own clock found "
      "1.58, 1.94 and 2.97 of a model of 193 MB, 1.42, 2.19 and 2.85 of the reference model, "
      "whose tokens take 0.43 to 0.58 ms at different times (docs/reducing.md).";
  r.example = "pith compress lm --recipe ziplm -O speedup=1.2 -O trials=2";
  r.parts = {"fit/unit_removal.h", "budget/solve.h", "weights/reduced_model.h"};
  r.options = {{"speedup", "1.5", "how many times as fast a token is to be on this machine"},
               {"steps", "10", "sizes that a part can have, beside all of it"},
               {"trials", "30", "of other weights of the errors than are measured; 0: all alike"},
               {"windows", "4", "of the text, that each is tried on"},
               {"position", "128", "tokens before the one that is timed"},
               {"share", "search", "search, or uniform: one level for all parts"},
               {"damping", "0.001", "added to second moments, as a share of their mean"},
               {"seed", "1", "of the trials"}};
  r.place = {.acts = {Act::kPruned, Act::kAllocated},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing,
             .knows_hardware = true};
  r.needs = {.dense = true, .safetensors = true, .nearest = "llm-surgeon"};
  r.apply = use_ziplm;
  return r;
}

}  // namespace pith::recipe
