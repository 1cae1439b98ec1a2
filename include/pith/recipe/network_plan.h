// Recipes for networks of convolutions (network/network.h), beside those for language models.
//
//   const auto options = network_options("hawq-v3", {{"levels", "4+8"}});
//   const network::MixedBits made = network::with_mixed_bits(net, images, classes, goal, options);
#pragma once

#include <string_view>

#include "pith/network/mixed_bits.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {

// What a recipe says of a network in integers. Throws ErrorKind::kUsage for recipes that are not
// for such networks, and for bad values.
network::MixedBitsOptions network_options(std::string_view name_or_id, Values values = {});

}  // namespace pith::recipe
