// A published method that ranks the units of all modules together and takes them out step by step.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/fit/unit_removal.h"
#include "pith/weights/units_left.h"
#include "recipes.h"
#include "unit_scores.h"
#include "values.h"

namespace pith::recipe {
namespace {

using model::DecoderConfig;
using model::Reduction;
using weights::Reducing;
using weights::UnitsLeft;

struct Options {
  double keep = 0.75, damping = 0.1;
  uint64_t rounds = 4;
  bool unified = true, fold = true;
  std::string scale;
};

// One kind of units of all layers, in place: their scores get the same mean, or the same mean and
// spread.
void normalise(UnitScores& scores, std::vector<double> LayerScores::*kind, std::string_view scale) {
  double sum = 0, squares = 0, count = 0;
  for (const LayerScores& l : scores) {
    for (const double s : l.*kind) {
      sum += s;
      squares += s * s;
      ++count;
    }
  }
  if (count == 0) return;
  const double mean = sum / count;
  const double spread = std::sqrt(std::max(squares / count - mean * mean, 0.0));
  for (LayerScores& l : scores) {
    for (double& s : l.*kind) {
      if (scale == "spread" && spread > 0) s = (s - mean) / spread;
      if (scale == "mean" && mean > 0) s /= mean;
    }
  }
}

struct Unit {
  uint32_t layer = 0, index = 0;
  bool heads = false;
  double score = 0;
};

// Those of the lowest scores go, whatever they are, until so many elements are left.
UnitsLeft best_of_all(const DecoderConfig& c, UnitScores scores, std::string_view scale,
                      uint64_t most) {
  normalise(scores, &LayerScores::groups, scale);
  normalise(scores, &LayerScores::neurons, scale);
  std::vector<Unit> units;
  for (uint32_t l = 0; l < c.layers; ++l) {
    for (uint32_t i = 0; i < scores[l].groups.size(); ++i) {
      units.push_back({l, i, true, scores[l].groups[i]});
    }
    for (uint32_t i = 0; i < scores[l].neurons.size(); ++i) {
      units.push_back({l, i, false, scores[l].neurons[i]});
    }
  }
  std::ranges::stable_sort(units, {}, &Unit::score);
  UnitsLeft left = weights::all_units(c);
  uint64_t there = weights::elements(c, left);
  const auto of = [&](const Unit& u) -> std::vector<uint32_t>& {
    return u.heads ? left[u.layer].groups : left[u.layer].neurons;
  };
  const auto size = [&](const Unit& u) {
    return u.heads ? weights::group_elements(c, u.layer) : weights::neuron_elements(c, u.layer);
  };
  size_t gone = 0;
  for (; gone < units.size() && there > most; ++gone) {
    std::erase(of(units[gone]), units[gone].index);
    there -= size(units[gone]);
  }
  // The best of them come back while there is room.
  while (gone-- > 0) {
    const Unit& u = units[gone];
    if (there + size(u) > most) continue;
    of(u).insert(std::ranges::lower_bound(of(u), u.index), u.index);
    there += size(u);
  }
  return left;
}

std::vector<uint32_t> highest(const std::vector<double>& scores, double share) {
  const auto count = static_cast<uint64_t>(std::floor(share * static_cast<double>(scores.size())));
  return fit::highest_units(scores, count);
}

// Of each layer the same share of its groups, and of its neurons the share that the limit leaves.
UnitsLeft same_of_each(const DecoderConfig& c, const UnitScores& scores, uint64_t most) {
  UnitsLeft left = weights::all_units(c);
  const auto with = [&](std::vector<uint32_t> weights::LayerUnits::*kind,
                        std::vector<double> LayerScores::*of, double share) {
    for (uint32_t l = 0; l < c.layers; ++l) {
      if (!(scores[l].*of).empty()) left[l].*kind = highest(scores[l].*of, share);
    }
    return weights::elements(c, left);
  };
  const uint64_t all = weights::elements(c, left);
  // Groups are few: the share of them is the nearest that there is.
  uint64_t groups = 1;
  for (const LayerScores& l : scores) groups = std::max<uint64_t>(groups, l.groups.size());
  const double wanted = static_cast<double>(most) / static_cast<double>(all);
  const double whole =
      std::round(wanted * static_cast<double>(groups)) / static_cast<double>(groups);
  with(&weights::LayerUnits::groups, &LayerScores::groups, whole);
  double low = 0, high = 1;
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    const bool fits = with(&weights::LayerUnits::neurons, &LayerScores::neurons, middle) <= most;
    (fits ? low : high) = middle;
  }
  with(&weights::LayerUnits::neurons, &LayerScores::neurons, low);
  return left;
}

// Of the model that is left: what goes next, until so many elements of the first are there.
Reduction next(const Reducing& r, const Options& o, uint64_t most) {
  const DecoderConfig& c = r.model.config();
  UnitScores scores = first_order(r);
  const UnitsLeft left =
      o.unified ? best_of_all(c, std::move(scores), o.scale, most) : same_of_each(c, scores, most);
  return o.fold ? weights::making_up(r, left, o.damping) : weights::leaving(c, left);
}

Reduction remove_in_rounds(const Reducing& r, const Options& o) {
  const DecoderConfig& c = r.model.config();
  const auto all = static_cast<double>(weights::elements(c, weights::all_units(c)));
  Reduction done{std::vector<model::ReducedLayer>(c.layers)};
  for (uint64_t round = 1; round <= o.rounds; ++round) {
    const double goes = (1 - o.keep) * static_cast<double>(round) / static_cast<double>(o.rounds);
    const model::ReducedWeights source(r.source, done);
    const model::LanguageModel model = model::make_model(source, {.tokenizer = false});
    const Reducing left{.source = source,
                        .model = model,
                        .text = r.text,
                        .threads = r.threads,
                        .progress = r.progress};
    done = weights::composed(c, done, next(left, o, static_cast<uint64_t>((1 - goes) * all)));
  }
  std::vector<std::string> sizes;
  const model::ReducedWeights small(r.source, done);
  for (uint32_t l = 0; l < c.layers; ++l) {
    const model::LayerSizes s = small.config().sizes(l);
    sizes.push_back(fmt::format("{}+{}", s.kv_heads, s.feed_forward));
  }
  r.note(fmt::format("groups of heads and neurons that are left, by layer: {}",
                     fmt::join(sizes, " ")));
  return done;
}

void use_upop(const Values& values, Plan& plan) {
  const Options o{.keep = share("keep", values.find("keep")->second, 1),
                  .damping = real(values, "damping", 1e-12, 1e3),
                  .rounds = number(values, "rounds", 1, 1000),
                  .unified = word(values, "ratios", {"unified", "equal"}) == "unified",
                  .fold = word(values, "fold", {"yes", "no"}) == "yes",
                  .scale = std::string(word(values, "scale", {"mean", "spread", "none"}))};
  if (o.keep <= 0) fail(ErrorKind::kUsage, "keep must be above 0%");
  plan.reduce = [o](const Reducing& r) { return remove_in_rounds(r, o); };
}

}  // namespace

Recipe upop() {
  Recipe r;
  r.name = "upop";
  r.id = "S252";
  r.title = "UPop: Unified and Progressive Pruning for Compressing Vision-Language Transformers";
  r.area = "weights";
  r.summary =
      "Groups of heads and neurons of all layers are ranked together, by first-order scores that "
      "are brought to one scale for each kind, so that every module's share follows from the "
      "ranking. They go in rounds: scores are taken anew in the model that is left, whose weights "
      "make up for what went.";
  r.compose = "the model's own forms; narrower matrices";
  r.differs =
      "a language model; masks stay at one, and their scores are |mask times gradient| of each "
      "token, averaged, in place of masks that are learned under a penalty; between rounds what "
      "is left makes up for the rest by least squares (S152) where the paper trains.";
  r.waits = "training with masks that shrink, models of vision and language";
  r.verified =
      "reference model, 2048 tokens of calibration, divergence on 3072 of books-valid, equal "
      "elements: 75% of the layers' in one cut 0.095, equal shares of every part 0.236, so one "
      "ranking pays (the second layer keeps 149 neurons and no attention, the seventh 759); a "
      "recipe test shows it with less text. Rounds pay where much goes: 50% in four 0.430, in one "
      "0.515; at 75% they do not (0.094 and 0.095, within the error of 0.006). Contradicted: with "
      "one mean and spread for each kind, as in the paper, groups of heads go first, 0.139 in one "
      "cut of 75% and 0.424 in four; hence one mean.";
  r.example = "pith compress lm --recipe upop -O keep=75% -O rounds=2";
  r.parts = {"weights/units_left.h", "weights/reduced_model.h", "fit/unit_removal.h"};
  r.options = {
      {"keep", "75%", "of the layers' elements"},
      {"rounds", "4", "in which units go, as many elements in each"},
      {"ratios", "unified",
       "what modules give: unified (what the ranking of all says), or equal shares"},
      {"scale", "mean",
       "what scores of heads and of neurons are brought to: one mean, one mean and spread, or "
       "none"},
      {"fold", "yes", "yes: what is left makes up for the rest; or no"},
      {"damping", "0.1", "added to second moments, as a share of their mean"}};
  r.place = {.acts = {Act::kPruned, Act::kAllocated},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kFirstOrder,
             .moment = Moment::kIterative,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"60%", "75%", "90%"}}};
  r.needs = {.dense = true, .safetensors = true, .nearest = "llm-surgeon"};
  r.apply = use_upop;
  return r;
}

}  // namespace pith::recipe
