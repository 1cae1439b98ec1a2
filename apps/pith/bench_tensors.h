// What the reference model stores and moves, as matrices.
#pragma once

#include <string>
#include <vector>

#include "pith/form/matrix.h"

namespace pith::bench {

struct Tensors {
  std::string kind;
  std::vector<form::Matrix> matrices;
  std::vector<std::string> names = {};  // of each, where they are weights
};

// Only matrices whose rows and columns are multiples of `side`.
// Its weights but those of its vocabulary.
Tensors weights(uint64_t side);
// Inputs of linear layers, keys and values of all heads of a layer side by side, and gradients at
// weights, all of `tokens` tokens of a text; of each kind no more than `most` elements.
std::vector<Tensors> moved(const std::string& text, uint64_t tokens, uint64_t side, uint64_t most);

}  // namespace pith::bench
