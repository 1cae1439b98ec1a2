#include "pith/weights/joined_heads.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "head_blocks.h"
#include "importance.h"
#include "linears.h"
#include "model_tensors.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/budget/solve.h"
#include "pith/fit/low_rank.h"
#include "pith/form/compose.h"
#include "pith/form/kept_lines.h"
#include "pith/weights/layer_walk.h"

namespace pith::weights {
namespace {

using fit::Truncation;
using form::FormPtr;
using form::Matrix;
using form::MatrixView;
using form::Shape;

constexpr uint64_t kLevels = 16;

uint64_t of_level(uint64_t most, uint64_t level) {
  return std::max<uint64_t>(1, (most * level + kLevels / 2) / kLevels);
}

// Something that keeps a rank: elements and expected divergence at each of its levels, 1 to
// kLevels.
struct Unit {
  std::string name;
  std::vector<uint64_t> ranks = {};
  std::vector<double> elements = {}, losses = {};
  uint64_t level = kLevels;

  uint64_t rank() const { return ranks[level - 1]; }
};

// Of a matrix by itself; at the last level it stays whole.
struct MatrixUnit {
  Unit unit;
  std::shared_ptr<const Truncation> truncation;
};

struct LayerUnits {
  std::vector<MatrixUnit> matrices = {};
  std::vector<Unit> values = {}, pairs = {};  // of each head of keys and values
  std::unique_ptr<HeadBlocks> heads = {};
};

class Factoring {
 public:
  Factoring(const Refining& r, const JoinedOptions& o)
      : refining_(r), options_(o), importance_(r.statistics) {
    const auto bits_of = [&](uint64_t rows) {
      return static_cast<double>(form::bits(*encoded(Matrix({rows, 256}))));
    };
    bits_ = (bits_of(128) - bits_of(64)) / (64 * 256);
  }

  void measure();
  FormsByName within(double bytes);
  // With so much of what is factored.
  double bytes_of(double keep) const;

 private:
  const model::DecoderConfig& config() const { return refining_.model.config(); }
  bool is_fitted(std::string_view name) const {
    return std::ranges::find(refining_.matrices, name) != refining_.matrices.end();
  }
  bool joins_values(const model::DecoderLayer& layer) const;
  bool joins_pairs(const model::DecoderLayer& layer) const;
  bool is_joined(const model::DecoderLayer& layer, const model::Linear& l) const;
  void add_matrix(const Visit& v, LayerUnits& units) const;
  void add_values(const model::DecoderLayer& layer, LayerUnits& units) const;
  void add_pairs(const model::DecoderLayer& layer, const fit::Metric& stream,
                 LayerUnits& units) const;
  void look_at(const Visit& v, uint32_t index, const fit::Metric& stream);
  std::vector<Unit*> units();
  void choose(double bytes);
  void make_heads(LayerUnits& units, const model::DecoderLayer& layer, FormsByName& out) const;
  FormPtr encoded(const Matrix& m) const { return form::encode(options_.factors, m.view()); }
  FormPtr as_it_is(const model::Linear& l) const {
    return options_.others ? encoded(form::decode(*l.weight)) : l.weight;
  }
  std::vector<double> importance_of(const model::Linear& l) const {
    return importance_.outputs(l.name, form::decode(*l.weight).view());
  }

  const Refining& refining_;
  const JoinedOptions& options_;
  Importance importance_;
  double bits_;  // of an element that is kept
  std::vector<LayerUnits> layers_;
};

double Factoring::bytes_of(double keep) const {
  double bits = 0;
  for (const model::DecoderLayer& layer : refining_.model.weights().layers) {
    for (const model::Linear* l : linears(layer)) {
      if (!is_fitted(l->name)) continue;
      const bool whole = !options_.others && !is_joined(layer, *l);
      bits += static_cast<double>(form::bits(*as_it_is(*l))) * (whole ? 1 : keep);
    }
  }
  return bits / 8;
}

bool Factoring::joins_values(const model::DecoderLayer& layer) const {
  return options_.joined != Joined::kNothing && layer.has_attention() && layer.v.bias.empty() &&
         is_fitted(layer.v.name) && is_fitted(layer.output.name);
}

bool Factoring::joins_pairs(const model::DecoderLayer& layer) const {
  return options_.joined == Joined::kPairs && joins_values(layer) && layer.q.bias.empty() &&
         layer.k.bias.empty() && layer.q_norm.empty() && layer.k_norm.empty() &&
         is_fitted(layer.q.name) && is_fitted(layer.k.name);
}

bool Factoring::is_joined(const model::DecoderLayer& layer, const model::Linear& l) const {
  if (&l == &layer.v || &l == &layer.output) return joins_values(layer);
  return (&l == &layer.q || &l == &layer.k) && joins_pairs(layer);
}

void Factoring::add_matrix(const Visit& v, LayerUnits& units) const {
  const Matrix weights = form::decode(*v.weight);
  const Shape shape = weights.shape;
  const std::vector<double> outputs = importance_.outputs(v.name, weights.view());
  const uint64_t most = fit::rank_of_share(shape, 1);
  MatrixUnit made{
      {.name = std::string(v.name)},
      std::make_shared<Truncation>(fit::Task{.name = v.name,
                                             .weights = weights.view(),
                                             .inputs = v.inputs,
                                             .outputs = outputs,
                                             .threads = refining_.threads},
                                   most, fit::TruncationOptions{.damping = options_.damping})};
  for (uint64_t level = 1; level < kLevels; ++level) {
    const uint64_t rank = of_level(most, level);
    made.unit.ranks.push_back(rank);
    made.unit.elements.push_back(static_cast<double>(rank * (shape.rows + shape.cols)));
    made.unit.losses.push_back(made.truncation->error(rank) / 2);
  }
  made.unit.ranks.push_back(std::min(shape.rows, shape.cols));
  made.unit.elements.push_back(static_cast<double>(shape.size()));
  made.unit.losses.push_back(0);
  units.matrices.push_back(std::move(made));
}

void Factoring::add_values(const model::DecoderLayer& layer, LayerUnits& units) const {
  const HeadBlocks& heads = *units.heads;
  const auto lines = static_cast<double>((1 + heads.group()) * config().width);
  for (uint64_t h = 0; h < heads.count(); ++h) {
    Unit& u = units.values.emplace_back(Unit{.name = fmt::format("{} {}", layer.v.name, h)});
    for (uint64_t level = 1; level <= kLevels; ++level) {
      const uint64_t rank = of_level(heads.size(), level);
      u.ranks.push_back(rank);
      u.elements.push_back(static_cast<double>(rank) * lines);
      u.losses.push_back(rank == heads.size() ? 0 : heads.values(h).error(rank) / 2);
    }
  }
}

void Factoring::add_pairs(const model::DecoderLayer& layer, const fit::Metric& stream,
                          LayerUnits& units) const {
  HeadBlocks& heads = *units.heads;
  heads.weigh_pairs(stream, importance_of(layer.q));
  const auto lines = static_cast<double>((1 + heads.group()) * config().width);
  for (uint64_t h = 0; h < heads.count(); ++h) {
    Unit& u = units.pairs.emplace_back(Unit{.name = fmt::format("{} {}", layer.q.name, h)});
    for (uint64_t level = 1; level <= kLevels; ++level) {
      const uint64_t kept = of_level(heads.pairs(), level);
      u.ranks.push_back(kept);
      u.elements.push_back(static_cast<double>(heads.rows_of_pairs(kept)) * lines);
      u.losses.push_back(heads.lost_without_pairs(h, kept));
    }
  }
}

// stream: what the layer's queries read.
void Factoring::look_at(const Visit& v, uint32_t index, const fit::Metric& stream) {
  const model::DecoderLayer& layer = refining_.model.weights().layers[index];
  LayerUnits& units = layers_[index];
  if (joins_values(layer) && v.name == layer.output.name) {
    units.heads =
        std::make_unique<HeadBlocks>(config(), index, layer, v.inputs, importance_of(layer.output),
                                     options_.damping, refining_.threads);
    add_values(layer, units);
    if (joins_pairs(layer)) add_pairs(layer, stream, units);
  }
  const auto joined = [&](const model::Linear* l) {
    return l->name == v.name && is_joined(layer, *l);
  };
  if (!options_.others || layer.experts || std::ranges::any_of(linears(layer), joined)) return;
  add_matrix(v, units);
}

void Factoring::measure() {
  const auto& layers = refining_.model.weights().layers;
  layers_ = std::vector<LayerUnits>(layers.size());
  std::map<std::string_view, uint32_t> layer_of;
  for (uint32_t l = 0; l < layers.size(); ++l) {
    for (const model::Linear* linear : linears(layers[l])) layer_of[linear->name] = l;
  }
  fit::Metric stream;
  walk_layers(refining_.model, refining_.text,
              [&](const Visit& v) -> FormPtr {
                if (v.role != Role::kLayer) return nullptr;
                const uint32_t index = layer_of[v.name];
                if (v.name == layers[index].q.name) stream = v.inputs;
                if (is_fitted(v.name)) look_at(v, index, stream);
                return nullptr;
              },
              {.threads = refining_.threads, .only_look = true, .progress = refining_.progress});
}

std::vector<Unit*> Factoring::units() {
  std::vector<Unit*> all;
  for (LayerUnits& layer : layers_) {
    for (MatrixUnit& m : layer.matrices) all.push_back(&m.unit);
    for (Unit& u : layer.values) all.push_back(&u);
    for (Unit& u : layer.pairs) all.push_back(&u);
  }
  return all;
}

void Factoring::choose(double bytes) {
  const std::vector<Unit*> all = units();
  budget::Problem problem{.resources = {"bytes"}, .parts = {}};
  for (const Unit* u : all) {
    budget::Part& part =
        problem.parts.emplace_back(budget::Part{.name = u->name, .candidates = {}});
    for (uint64_t i = 0; i < kLevels; ++i) {
      part.candidates.push_back(
          {fmt::format("{}", u->ranks[i]), u->losses[i], {u->elements[i] * bits_ / 8}});
    }
  }
  const budget::Goal goal{.within = {{"bytes", bytes}}};
  if (options_.searched) {
    const budget::Solution found = budget::solve(problem, goal);
    for (size_t i = 0; i < all.size(); ++i) all[i]->level = found.chosen[i] + 1;
    return;
  }
  for (uint64_t level = kLevels;; --level) {
    const std::vector<size_t> same(all.size(), level - 1);
    if (level > 1 && !budget::meets(problem, budget::totals(problem, same), goal.within)) continue;
    for (Unit* u : all) u->level = level;
    return;
  }
}

void Factoring::make_heads(LayerUnits& units, const model::DecoderLayer& layer,
                           FormsByName& out) const {
  std::vector<uint64_t> ranks, pairs;
  for (const Unit& u : units.values) ranks.push_back(u.rank());
  for (const Unit& u : units.pairs) pairs.push_back(u.rank());
  const HeadBlocks& heads = *units.heads;
  const auto [values, output] = heads.joined(ranks);
  out[layer.v.name] = form::kept_rows(values, options_.factors);
  out[layer.output.name] = form::kept_columns(output, options_.factors);
  if (pairs.empty()) return;
  out[layer.q.name] = form::kept_rows(heads.queries(pairs), options_.factors);
  out[layer.k.name] = form::kept_rows(heads.keys(pairs), options_.factors);
}

FormsByName Factoring::within(double bytes) {
  FormsByName out;
  const double whole = bytes_of(0);
  double expected = bytes;
  // What marks rows and columns is not counted beforehand.
  for (int tries = 0; tries < 4; ++tries) {
    choose(expected - whole);
    out.clear();
    for (uint32_t l = 0; l < layers_.size(); ++l) {
      LayerUnits& units = layers_[l];
      for (const MatrixUnit& m : units.matrices) {
        if (m.unit.level == kLevels) continue;
        const uint64_t rank = m.unit.rank();
        out[m.unit.name] =
            form::lowrank_of(encoded(m.truncation->left(rank)), encoded(m.truncation->right(rank)));
      }
      if (units.heads) make_heads(units, refining_.model.weights().layers[l], out);
    }
    double taken = 0;
    for (const model::DecoderLayer& layer : refining_.model.weights().layers) {
      for (const model::Linear* l : linears(layer)) {
        if (!is_fitted(l->name)) continue;
        FormPtr& form = out[l->name];
        if (!form) form = as_it_is(*l);
        taken += static_cast<double>(form::bits(*form)) / 8;
      }
    }
    if (taken <= bytes) return out;
    expected *= 0.999 * bytes / taken;
  }
  fail(ErrorKind::kLimit, "{:.0f} bytes are left for the matrices, which take more", bytes);
}

}  // namespace

FormsByName join_heads(const Refining& refining, const JoinedOptions& options) {
  if (refining.text.count() == 0 || !refining.statistics) {
    fail(ErrorKind::kUsage, "heads are factored by what a text shows, and there is none");
  }
  if (!refining.forms.empty()) fail(ErrorKind::kUsage, "heads are factored before all else");
  if (!(options.keep > 0 && options.keep <= 1)) {
    fail(ErrorKind::kUsage, "the share that is kept must be above 0 and at most 1");
  }
  Factoring factoring(refining, options);
  factoring.measure();
  return factoring.within(refining.bytes.value_or(factoring.bytes_of(options.keep)));
}

}  // namespace pith::weights
