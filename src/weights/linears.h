// The matrices of a layer, in the order in which they are computed with.
#pragma once

#include <type_traits>
#include <vector>

#include "pith/model/language_model.h"

namespace pith::weights {

// Layer: DecoderLayer, const or not.
template <class Layer>
auto linears(Layer& layer) {
  using Linear = std::conditional_t<std::is_const_v<Layer>, const model::Linear, model::Linear>;
  std::vector<Linear*> all;
  if (layer.has_attention()) all = {&layer.q, &layer.k, &layer.v, &layer.output};
  const auto add = [&](auto& network) {
    for (Linear* l : {&network.gate, &network.up, &network.down}) all.push_back(l);
  };
  if (layer.feed_forward) add(*layer.feed_forward);
  if (layer.experts) {
    for (auto& expert : layer.experts->experts) add(expert);
    if (layer.experts->shared) add(*layer.experts->shared);
  }
  return all;
}

}  // namespace pith::weights
