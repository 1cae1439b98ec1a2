#include "pith/weights/units_left.h"

#include <algorithm>
#include <numeric>

#include "pith/base/error.h"
#include "pith/fit/unit_removal.h"

namespace pith::weights {
namespace {

using form::Matrix;
using model::DecoderConfig;
using model::LayerSizes;
using model::ReducedLayer;
using model::Reduction;

std::vector<uint32_t> first_numbers(uint32_t count) {
  std::vector<uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0U);
  return all;
}

uint32_t heads_of_group(const DecoderConfig& c, uint32_t layer) {
  const LayerSizes sizes = c.sizes(layer);
  return sizes.kv_heads == 0 ? 0 : sizes.heads / sizes.kv_heads;
}

uint32_t neurons_of(const DecoderConfig& c, uint32_t layer) {
  if (c.has_experts(layer)) return 1;
  return c.has_feed_forward(layer) ? c.sizes(layer).feed_forward : 0;
}

std::vector<uint32_t> heads_in(const DecoderConfig& c, uint32_t layer,
                               const std::vector<uint32_t>& groups) {
  const uint32_t of_group = heads_of_group(c, layer);
  std::vector<uint32_t> heads;
  for (const uint32_t g : groups) {
    for (uint32_t h = 0; h < of_group; ++h) heads.push_back(g * of_group + h);
  }
  return heads;
}

using Kept = std::optional<std::vector<uint32_t>>;

Kept kept_of_kept(const Kept& first, const Kept& second) {
  if (!first || !second) return second ? second : first;
  std::vector<uint32_t> both;
  for (const uint32_t k : *second) {
    if (k >= first->size()) fail(ErrorKind::kUsage, "unit {} of {} is not there", k, first->size());
    both.push_back((*first)[k]);
  }
  return both;
}

// What reads the kept ones: the later matrix, or what is left of the earlier one. size: of a unit.
Matrix columns_of_kept(const Matrix& first, const Matrix& second, const Kept& kept, uint64_t size) {
  if (!second.values.empty() || first.values.empty() || !kept) {
    return second.values.empty() ? first : second;
  }
  Matrix out({first.shape.rows, kept->size() * size});
  for (size_t k = 0; k < kept->size(); ++k) {
    const uint64_t from = (*kept)[k] * size;
    if (from + size > first.shape.cols) fail(ErrorKind::kUsage, "unit {} is not there", (*kept)[k]);
    for (uint64_t r = 0; r < first.shape.rows; ++r) {
      std::copy_n(first.view().row(r).data() + from, size, out.row(r).data() + k * size);
    }
  }
  return out;
}

}  // namespace

UnitsLeft all_units(const DecoderConfig& c) {
  UnitsLeft all(c.layers);
  for (uint32_t l = 0; l < c.layers; ++l) {
    all[l] = {first_numbers(c.has_attention(l) ? c.sizes(l).kv_heads : 0),
              first_numbers(neurons_of(c, l))};
  }
  return all;
}

uint64_t group_elements(const DecoderConfig& c, uint32_t layer) {
  return 2 * (uint64_t{heads_of_group(c, layer)} + 1) * c.head_size * c.width;
}

uint64_t neuron_elements(const DecoderConfig& c, uint32_t layer) {
  if (!c.has_experts(layer)) return 3 * uint64_t{c.width};
  const uint64_t neurons = uint64_t{c.experts} * c.expert_feed_forward + c.shared_feed_forward;
  return (3 * neurons + c.experts) * c.width;
}

uint64_t elements(const DecoderConfig& c, const UnitsLeft& left) {
  uint64_t all = 0;
  for (uint32_t l = 0; l < left.size(); ++l) {
    all += left[l].groups.size() * group_elements(c, l) +
           left[l].neurons.size() * neuron_elements(c, l);
  }
  return all;
}

Reduction leaving(const DecoderConfig& c, const UnitsLeft& left) {
  const UnitsLeft all = all_units(c);
  if (left.size() != all.size()) {
    fail(ErrorKind::kUsage, "units of {} layers for a model of {}", left.size(), all.size());
  }
  Reduction out{std::vector<ReducedLayer>(c.layers)};
  for (uint32_t l = 0; l < c.layers; ++l) {
    if (left[l].groups != all[l].groups) out.layers[l].heads = heads_in(c, l, left[l].groups);
    if (left[l].neurons != all[l].neurons) out.layers[l].units = left[l].neurons;
  }
  return out;
}

Reduction making_up(const Reducing& reducing, const UnitsLeft& left, double damping) {
  Reduction out = leaving(reducing.model.config(), left);
  Reduction made = reduce_units(reducing, [&](const HiddenUnits& u) -> std::optional<KeptUnits> {
    const ReducedLayer& layer = out.layers[u.layer];
    if (u.heads ? !layer.heads : !layer.units) return std::nullopt;
    KeptUnits kept{u.heads ? left[u.layer].groups : left[u.layer].neurons, {}};
    if (kept.kept.empty()) return kept;
    const fit::UnitMoments moments(u.inputs, u.group, damping, reducing.threads);
    kept.weights = fit::folded(moments, u.weights, kept.kept);
    return kept;
  });
  for (uint32_t l = 0; l < out.layers.size(); ++l) {
    out.layers[l].output = std::move(made.layers[l].output);
    out.layers[l].down = std::move(made.layers[l].down);
  }
  return out;
}

Reduction composed(const DecoderConfig& c, const Reduction& first, const Reduction& second) {
  if (first.layers.size() != c.layers || second.layers.size() != c.layers) {
    fail(ErrorKind::kUsage, "reductions of {} and {} layers for a model of {}", first.layers.size(),
         second.layers.size(), c.layers);
  }
  Reduction out{std::vector<ReducedLayer>(c.layers)};
  for (uint32_t l = 0; l < c.layers; ++l) {
    const ReducedLayer &a = first.layers[l], &b = second.layers[l];
    out.layers[l] = {.heads = kept_of_kept(a.heads, b.heads),
                     .units = kept_of_kept(a.units, b.units),
                     .output = columns_of_kept(a.output, b.output, b.heads, c.head_size),
                     .down = columns_of_kept(a.down, b.down, b.units, 1)};
  }
  return out;
}

}  // namespace pith::weights
