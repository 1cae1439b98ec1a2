// Published methods that leave out attention, feed-forward parts or whole layers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/weights/part_study.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using weights::PartKind;
using weights::PartStudy;
using weights::Reducing;
using Layers = std::vector<uint32_t>;

PartKind kind_of(const Values& values) {
  const std::string_view of = word(values, "of", {"attention", "feed-forward", "layers"});
  return of == "attention"      ? PartKind::kAttention
         : of == "feed-forward" ? PartKind::kFeedForward
                                : PartKind::kLayer;
}

const std::vector<double>& cosines(const PartStudy& study, PartKind kind) {
  return kind == PartKind::kAttention     ? study.attention
         : kind == PartKind::kFeedForward ? study.feed_forward
                                          : study.layer;
}

// By which those of the least scores go; ties to the later layer.
Layers least(const std::vector<double>& scores, uint64_t count) {
  Layers order(scores.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) {
    return scores[a] != scores[b] ? scores[a] < scores[b] : a > b;
  });
  order.resize(count);
  std::ranges::sort(order);
  return order;
}

void require_count(uint64_t count, uint64_t layers) {
  if (count < layers) return;
  fail(ErrorKind::kUsage, "count: {} of the model's {} layers leave none", count, layers);
}

std::vector<double> random_scores(uint64_t seed, uint64_t layers) {
  std::vector<double> scores(layers);
  for (uint64_t l = 0; l < layers; ++l) scores[l] = random_unit(seed, l);
  return scores;
}

void use_late(const Values& values, Plan& plan) {
  const PartKind kind = kind_of(values);
  const uint64_t count = number(values, "count", 0, 10'000);
  const uint64_t seed = number(values, "seed", 0, UINT32_MAX);
  const std::string which(word(values, "which", {"last", "first", "random", "alike"}));
  plan.reduce = [=](const Reducing& r) {
    const uint64_t layers = r.model.config().layers;
    require_count(count, layers);
    const PartStudy study = weights::study_parts(r);
    const std::vector<double>& alike = cosines(study, kind);
    std::vector<double> scores(layers);
    for (uint64_t l = 0; l < layers; ++l) {
      scores[l] = which == "alike"  ? -alike[l]
                  : which == "last" ? -static_cast<double>(l)
                                    : static_cast<double>(l);
    }
    if (which == "random") scores = random_scores(seed, layers);
    const Layers out = least(scores, count);
    r.note(fmt::format("left out in layers {}", fmt::join(out, ", ")));
    r.note(fmt::format("cosine of what enters and what leaves, by layer: {:.3f}",
                       fmt::join(alike, " ")));
    return weights::without_parts(r.model.config(), kind, out);
  };
}

// What each part adds to the entropy of the stream.
std::vector<double> increases(const std::vector<double>& entropies, PartKind kind) {
  std::vector<double> out;
  for (size_t at = 0; at + 2 < entropies.size(); at += 2) {
    const double before = entropies[kind == PartKind::kFeedForward ? at + 1 : at];
    const double after = entropies[kind == PartKind::kAttention ? at + 1 : at + 2];
    out.push_back(after - before);
  }
  return out;
}

// The first layer behind which the entropy only grows: before it is least.
uint64_t end_of_fall(const std::vector<double>& entropies) {
  uint64_t best = 0;
  for (uint64_t l = 0; 2 * l < entropies.size(); ++l) {
    if (entropies[2 * l] < entropies[2 * best]) best = l;
  }
  return best;
}

std::vector<double> every_second(const std::vector<double>& all) {
  std::vector<double> out;
  for (size_t i = 0; i < all.size(); i += 2) out.push_back(all[i]);
  return out;
}

void use_entropy(const Values& values, Plan& plan) {
  const PartKind kind = kind_of(values);
  const uint64_t count = number(values, "count", 0, 10'000);
  const uint64_t seed = number(values, "seed", 0, UINT32_MAX);
  const std::string score(word(values, "score", {"histogram", "nearest", "cosine", "random"}));
  const weights::StudyOptions options{.bins = number(values, "bins", 2, 1 << 20),
                                      .tokens = score == "nearest" ? 512U : 0U};
  plan.reduce = [=](const Reducing& r) {
    const uint64_t layers = r.model.config().layers;
    require_count(count, layers);
    const PartStudy study = weights::study_parts(r, options);
    const auto& entropies =
        score == "nearest" ? study.entropies.nearest : study.entropies.histogram;
    std::vector<double> scores = increases(entropies, kind);
    if (score == "cosine") {
      std::ranges::transform(cosines(study, kind), scores.begin(), std::negate<>());
    } else if (score == "random") {
      scores = random_scores(seed, layers);
    } else {
      // Where it still falls parts only go when there are too few others, the latest first.
      const uint64_t first = std::min(end_of_fall(entropies), layers - count);
      for (uint64_t l = 0; l < first; ++l) scores[l] = INFINITY;
    }
    const Layers out = least(scores, count);
    r.note(fmt::format("left out in layers {}", fmt::join(out, ", ")));
    r.note(fmt::format("bits of the stream before each layer and behind the last: {:.3f}",
                       fmt::join(every_second(entropies), " ")));
    return weights::without_parts(r.model.config(), kind, out);
  };
}

constexpr Option kOf = {"of", "attention",
                        "what is left out: attention, feed-forward (parts) or layers"};
constexpr Option kCount = {"count", "2", "in how many layers"};
constexpr Option kSeed = {"seed", "1", "of what is random"};

}  // namespace

Recipe late_attention() {
  Recipe r;
  r.name = "late-attention";
  r.id = "S199";
  r.title =
      "Enhancing Inference Efficiency of Large Language Models: Investigating Optimization "
      "Strategies and Architectural Innovations";
  r.area = "weights";
  r.summary =
      "The attention of the last layers is left out and their feed-forward parts stay; nothing is "
      "trained. What is left out caches no keys and values. For comparison the last feed-forward "
      "parts, the last whole layers, the first ones, random ones or those whose output is most "
      "like their input.";
  r.compose = "the model's own forms; parts of layers are not there";
  r.differs =
      "cosines are reported, and taken with -O which=alike; the thesis only takes the last.";
  r.verified =
      "contradicted on the reference model of 8 layers (3072 tokens of books-valid, divergence): "
      "without the last two attentions 0.338, the first two 0.109, the two most alike 0.135, two "
      "others 0.41 and 0.45; so the last are not the ones to take, and the cosine finds nearly the "
      "best. As claimed, the last attentions cost less than the last two feed-forward parts "
      "(0.512) "
      "or layers (0.808), and a quarter of the keys and values is gone (model tests of the cache). "
      "A recipe test shows these relations.";
  r.example = "pith compress lm --recipe late-attention -O count=2";
  r.parts = {"weights/part_study.h", "model/reduced_weights.h"};
  r.options = {kOf, kCount, {"which", "last", "of the layers: last, first, random, alike"}, kSeed};
  r.place = {.acts = {Act::kPruned},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kNothing,
             .moment = Moment::kOneShot,
             .data = Data::kNone,
             .adapts = Adapts::kNothing};
  r.sizes = {{"count", {"1", "2", "3"}}};
  r.needs = {.safetensors = true, .nearest = "llm-surgeon"};
  r.apply = use_late;
  return r;
}

Recipe entrodrop() {
  Recipe r;
  r.name = "entrodrop";
  r.id = "S206";
  r.title = "Entropy-Based Block Pruning for Efficient Large Language Models";
  r.area = "weights";
  r.summary =
      "Attention, feed-forward parts or whole layers go that add least to the entropy of the "
      "residual stream on a text, counted from where that no longer falls with depth; nothing is "
      "trained.";
  r.compose = "the model's own forms; parts of layers are not there";
  r.differs =
      "the histogram has equal bins from the least to the largest value; nearest neighbours are "
      "those of Kozachenko and Leonenko among 512 tokens.";
  r.verified =
      "contradicted on the reference model of 8 layers (3072 tokens of books-valid, divergence): "
      "without one layer 0.419, by the cosine 0.068; without two 0.808, 0.315 by the cosine and "
      "0.471 at random; without two attentions 0.338, 0.286 by the cosine. As claimed entropy "
      "falls "
      "with depth, then grows, alike on two texts (5.56 5.48 5.40 5.40 5.37 5.43 5.50 5.51 bits "
      "and "
      "5.54 5.49 5.38 5.39 5.32 5.37 5.44 5.52), but behind the last layer it falls again (5.01), "
      "which therefore goes first, and is missed most. A recipe test shows that the cosine is "
      "better "
      "for attention and for layers.";
  r.example = "pith compress lm --recipe entrodrop -O of=layers -O count=1";
  r.parts = {"weights/part_study.h", "math/entropy.h", "model/reduced_weights.h"};
  r.options = {
      kOf,
      kCount,
      {"score", "histogram",
       "what the least of goes: the entropy's growth by histogram or nearest (neighbours), "
       "cosine (the most alike go) or random"},
      {"bins", "256", "of the histogram"},
      kSeed};
  r.place = {.acts = {Act::kPruned},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kActivation,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"count", {"1", "2", "3"}}};
  r.needs = {.safetensors = true, .nearest = "llm-surgeon"};
  r.apply = use_entropy;
  return r;
}

}  // namespace pith::recipe
