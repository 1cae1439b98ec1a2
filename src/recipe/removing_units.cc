// Published methods that remove neurons and heads, and have what is left make up for them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/fit/unit_removal.h"
#include "pith/weights/joined_heads.h"
#include "pith/weights/part_study.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using weights::HiddenUnits;
using weights::KeptUnits;
using weights::Reducing;

// "25%", as a share below 1.
double share(const Values& values, std::string_view key) {
  const std::string& text = values.find(key)->second;
  if (!text.ends_with('%')) {
    fail(ErrorKind::kUsage, "{} must be a share as 25%, not '{}'", key, text);
  }
  const double percent = real({{std::string(key), text.substr(0, text.size() - 1)}}, key, 0, 100);
  if (percent >= 100) fail(ErrorKind::kUsage, "{} must be below 100%, which leaves nothing", key);
  return percent / 100;
}

uint64_t units_of(const HiddenUnits& u) { return u.weights.shape.cols / u.group; }

// Of each unit the squares of what reads it.
std::vector<double> magnitudes(const HiddenUnits& u) {
  std::vector<double> scores(units_of(u));
  for (uint64_t r = 0; r < u.weights.shape.rows; ++r) {
    for (uint64_t c = 0; c < u.weights.shape.cols; ++c) {
      scores[c / u.group] += double{u.weights.row(r)[c]} * u.weights.row(r)[c];
    }
  }
  return scores;
}

std::vector<double> random_scores(const HiddenUnits& u) {
  std::vector<double> scores(units_of(u));
  const uint64_t seed = 1 + 2 * uint64_t{u.layer} + u.heads;
  for (uint64_t i = 0; i < scores.size(); ++i) scores[i] = random_unit(seed, i);
  return scores;
}

std::string name_of(const HiddenUnits& u) {
  return fmt::format("model.layers.{}.{}.weight", u.layer,
                     u.heads ? "self_attn.o_proj" : "mlp.down_proj");
}

// How units are chosen, and what becomes of what reads them.
struct Removal {
  std::string select;
  bool fold = true;
  double damping = 1e-3;
  std::vector<double> units, groups;  // shares that go, of each layer
};

using Scores = std::map<std::string, std::vector<double>, std::less<>>;

std::vector<uint32_t> chosen_units(const Removal& how, const HiddenUnits& u,
                                   const fit::UnitMoments& moments, const Scores& gradients,
                                   uint64_t count) {
  if (how.select == "pivots") return fit::pivoted_units(moments, count);
  std::vector<double> scores;
  if (how.select == "leverage") scores = fit::leverage_scores(moments);
  if (how.select == "magnitude") scores = magnitudes(u);
  if (how.select == "random") scores = random_scores(u);
  if (how.select == "gradients") {
    const auto found = gradients.find(name_of(u));
    scores = found == gradients.end() ? std::vector<double>(units_of(u)) : found->second;
  }
  return fit::highest_units(scores, count);
}

model::Reduction remove_units(const Removal& how, const Reducing& r) {
  const Scores gradients = how.select == "gradients" ? weights::first_order_scores(r) : Scores();
  return weights::reduce_units(r, [&](const HiddenUnits& u) -> std::optional<KeptUnits> {
    const double part = u.heads ? how.groups[u.layer] : how.units[u.layer];
    const uint64_t units = units_of(u);
    const auto removed = static_cast<uint64_t>(std::round(part * static_cast<double>(units)));
    if (removed == 0) return std::nullopt;
    const fit::UnitMoments moments(u.inputs, u.group, how.damping, r.threads);
    KeptUnits kept{chosen_units(how, u, moments, gradients, units - removed), {}};
    kept.weights = how.fold ? fit::folded(moments, u.weights, kept.kept)
                            : fit::selected(moments, u.weights, kept.kept);
    return kept;
  });
}

Removal removal_of(const Values& values, std::initializer_list<std::string_view> selections) {
  Removal how;
  how.select = word(values, "select", selections);
  how.fold = word(values, "fold", {"yes", "no"}) == "yes";
  how.damping = real(values, "damping", 1e-12, 1e3);
  return how;
}

void use_stat(const Values& values, Plan& plan) {
  const Removal common =
      removal_of(values, {"pivots", "leverage", "magnitude", "gradients", "random"});
  const double units = share(values, "units"), groups = share(values, "groups");
  plan.reduce = [=](const Reducing& r) {
    Removal how = common;
    how.units.assign(r.model.config().layers, units);
    how.groups.assign(r.model.config().layers, groups);
    return remove_units(how, r);
  };
}

// Shares of layers with this mean, less for those that change the stream more: layers times the
// mean times a softmax of what they do, the other way round. None above `most`, what is beyond goes
// to the others.
std::vector<double> shares_by_influence(const std::vector<double>& influence, double mean,
                                        double temperature, double most) {
  std::vector<double> weight, shares(influence.size());
  for (const double s : influence) weight.push_back(std::exp(-s / temperature));
  double left = mean * static_cast<double>(influence.size());
  std::vector<uint8_t> full(influence.size());
  for (size_t round = 0; round <= influence.size(); ++round) {
    double sum = 0;
    for (size_t l = 0; l < weight.size(); ++l) sum += full[l] ? 0 : weight[l];
    bool over = false;
    for (size_t l = 0; l < weight.size(); ++l) {
      if (full[l]) continue;
      shares[l] = sum > 0 ? left * weight[l] / sum : 0;
      over = over || shares[l] > most;
    }
    if (!over) break;
    for (size_t l = 0; l < weight.size(); ++l) {
      if (full[l] || shares[l] < most) continue;
      full[l] = 1;
      shares[l] = most;
      left -= most;
    }
  }
  return shares;
}

void use_modegpt(const Values& values, Plan& plan) {
  const Removal common = removal_of(values, {"leverage", "magnitude", "pivots", "random"});
  const double units = share(values, "units"), groups = share(values, "groups");
  if (const double heads = share(values, "heads"); heads > 0) {
    const weights::JoinedOptions joined{
        .keep = 1 - heads, .joined = weights::Joined::kPairs, .others = false};
    plan.refine = [joined](const weights::Refining& r) { return weights::join_heads(r, joined); };
    leave_vocabulary(plan);
  }
  const double temperature = real(values, "temperature", 1e-3, 1e6);
  plan.reduce = [=](const Reducing& r) {
    Removal how = common;
    std::vector<double> influence;
    for (const double c : weights::study_parts(r).layer) influence.push_back(1 - c);
    constexpr double kMost = 0.9;
    how.units = shares_by_influence(influence, units, temperature, std::max(kMost, units));
    how.groups = shares_by_influence(influence, groups, temperature, std::max(kMost, groups));
    r.note(fmt::format("shares of units that go, by layer: {:.3f}", fmt::join(how.units, " ")));
    return remove_units(how, r);
  };
}

constexpr Option kUnits = {"units", "25%", "of each feed-forward part, that go"};
constexpr Option kGroups = {"groups", "0%",
                            "of the heads of keys and values with their query heads, that go"};
constexpr Option kFold = {"fold", "yes", "yes: what is left makes up for the rest; or no"};
constexpr Option kDamping = {"damping", "0.1", "added to second moments, as a share of their mean"};

}  // namespace

Recipe stat_prune() {
  Recipe r;
  r.name = "stat-prune";
  r.id = "S152";
  r.title = "STAT: Shrinking Transformers After Training";
  r.area = "weights";
  r.summary =
      "Neurons and heads are chosen by QR with column pivoting of the activations that enter a "
      "part's second matrix; the others are expressed by these, and that correction goes into this "
      "matrix. No gradients, layer after layer.";
  r.compose = "the model's own forms; narrower matrices";
  r.differs =
      "pivots are found from second moments (Cholesky with pivoting), which are damped; the same "
      "share goes of every layer instead of shares by a budget of operations; heads go by whole "
      "groups that share keys and values; attention and feed-forward part of a layer both see the "
      "stream before it is changed.";
  r.verified =
      "a quarter of the reference model's neurons (3072 tokens of books-valid, divergence), 8192 "
      "tokens of calibration: 0.092, without the correction 0.137, by magnitude without it 0.620. "
      "With 2048 tokens 0.198; by gradients (Taylor) without a correction 0.285, with it 0.241. "
      "The "
      "less text, the less the correction brings, and the more damping it needs: 1024 tokens "
      "0.215, "
      "without it 0.231. Recipe tests show the relations, that of the correction alone (4096 "
      "tokens) "
      "too; fit tests that as many pivots as there "
      "are sources explain all, and that the correction is the least squared error.";
  r.example = "pith compress lm --recipe stat-prune -O units=25%";
  r.parts = {"fit/unit_removal.h", "weights/reduced_model.h", "model/reduced_weights.h"};
  r.options = {kUnits,
               kGroups,
               {"select", "pivots",
                "what is kept: pivots, or by leverage, magnitude, gradients or at random"},
               kFold,
               kDamping};
  r.place = {.acts = {Act::kPruned},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"units", {"5%", "15%", "30%"}}};
  r.needs = {.dense = true, .safetensors = true, .nearest = "llm-surgeon"};
  r.apply = use_stat;
  return r;
}

Recipe modegpt() {
  Recipe r;
  r.name = "modegpt";
  r.id = "S284";
  r.title = "MoDeGPT: Modular Decomposition for Large Language Model Compression";
  r.area = "weights";
  r.summary =
      "Of each feed-forward part the neurons with the highest ridge leverage scores stay, and what "
      "reads them is Nyström's approximation of all; layers that change the stream less give more. "
      "Heads lose pairs of elements of their queries and keys, and what they read and write as "
      "values keeps the leading singular vectors of its product.";
  r.compose =
      "the model's own forms, narrower; sparse(75%, pattern=rows), sparse(75%, pattern=columns)";
  r.differs =
      "of queries and keys whole pairs go that rotations turn together, by what is lost without "
      "their queries; how many, and ranks of values, are searched by expected divergence "
      "(gradients) in place of the layers' shares; the runtime has one size of heads, so that rows "
      "of what is left are in the cache as zeros; damping as a share of the mean moment.";
  r.verified =
      "reference model, 4096 tokens of calibration, books-test (3072 tokens), a quarter of the "
      "layers' elements gone, divergence: neurons and heads 0.0229, neurons alone 0.0449; low "
      "ranks "
      "of each matrix by what it reads 0.0795 (llm-rom), by Fisher information 0.116 (fwsvd). "
      "Ranks of all matrices searched by expected divergence lose less: 0.0082, with heads joined "
      "0.0054 (comcat), which the paper does not compare with. 30% of the neurons (3072 tokens of "
      "books-valid, 2048 of calibration): 0.086; with temperature 0.5 0.151, by magnitude without "
      "a correction 0.259; with equal shares 0.268. Tests of weights: pairs chosen so lose less "
      "of unseen scores than by magnitude, values and outputs less than low ranks of each. A stream "
      "that is turned and cut down layer by layer (SliceGPT, simulated), of as many weights as "
      "without a quarter of the neurons: 0.138 beside 0.029 (held-out end of the text that Pith "
      "comes with, 4096 tokens of calibration; a test has the relation).";
  r.example = "pith compress lm --recipe modegpt -O units=25% -O heads=25%";
  r.parts = {"fit/unit_removal.h", "weights/part_study.h", "weights/reduced_model.h",
             "weights/joined_heads.h"};
  r.options = {{"units", "25%", "of feed-forward parts, that go on the mean of layers"},
               kGroups,
               {"heads", "0%",
                "of the elements of attention, that go: pairs of queries and keys, ranks of values "
                "and outputs"},
               {"temperature", "0.02", "how evenly layers share that: the larger the more"},
               {"select", "leverage", "what is kept: by leverage, magnitude, pivots or at random"},
               kFold,
               kDamping};
  r.place = {.acts = {Act::kPruned, Act::kAllocated},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"units", {"5%", "15%", "30%"}}};
  r.needs = {.dense = true, .safetensors = true, .nearest = "llm-surgeon"};
  r.apply = use_modegpt;
  return r;
}

}  // namespace pith::recipe
