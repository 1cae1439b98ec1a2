// What stands for the importance of a model's groups of heads and neurons.
#pragma once

#include <vector>

#include "pith/weights/reduced_model.h"

namespace pith::recipe {

struct LayerScores {
  std::vector<double> groups,
      neurons;  // empty: the layer has none that can be taken out one by one
};
using UnitScores = std::vector<LayerScores>;  // by layer

// What it costs the loss to take a unit out, to first order, on some thousand tokens of the text.
UnitScores first_order(const weights::Reducing& reducing);
// The squares of what reads a unit.
UnitScores squares(const weights::Reducing& reducing);

}  // namespace pith::recipe
