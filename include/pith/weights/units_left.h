// Which groups of heads and which neurons of a model are left, what they weigh, and the model that
// they make: for methods that take units out of all layers by one order, in one step or several.
//
//   UnitsLeft left = all_units(config);
//   std::erase(left[3].neurons, 17);
//   const Reduction smaller = making_up(reducing, left, 0.1);
#pragma once

#include <cstdint>
#include <vector>

#include "pith/model/reduced_weights.h"
#include "pith/weights/reduced_model.h"

namespace pith::weights {

// Of one layer, ascending. A group is a head of keys and values with the query heads that share it;
// the experts of a layer count as one neuron.
struct LayerUnits {
  std::vector<uint32_t> groups, neurons;
  bool operator==(const LayerUnits&) const = default;
};
using UnitsLeft = std::vector<LayerUnits>;  // by layer

UnitsLeft all_units(const model::DecoderConfig& config);

// Elements of the matrices that a unit has for itself.
uint64_t group_elements(const model::DecoderConfig& config, uint32_t layer);
uint64_t neuron_elements(const model::DecoderConfig& config, uint32_t layer);
uint64_t elements(const model::DecoderConfig& config, const UnitsLeft& left);

// What leaves these units as they are; a part of which none is left goes.
model::Reduction leaving(const model::DecoderConfig& config, const UnitsLeft& left);

// The same, but what reads the units makes up for those that went (fit/unit_removal.h), layer after
// layer. damping: of second moments, as a share of their mean.
model::Reduction making_up(const Reducing& reducing, const UnitsLeft& left, double damping);

// What is left of what `first` leaves of the model: the second counts heads and units among those
// that the first keeps. Throws ErrorKind::kUsage for other layers, and for what is not there.
model::Reduction composed(const model::DecoderConfig& config, const model::Reduction& first,
                          const model::Reduction& second);

}  // namespace pith::weights
