// Recipes for networks of convolutions (network/network.h), beside those for language models.
//
//   Plan plan;
//   apply(recipe, values, plan);
//   require_network(&recipe, plan, "net.onnx", true);
//   NetworkCompressor compressor(file, inputs, layer_options(plan));
//
// and in integers alone:
//
//   const auto options = network_options("hawq-v3", {{"levels", "4+8"}});
//   const network::MixedBits made = network::with_mixed_bits(net, images, classes, goal, options);
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "pith/network/compress_network.h"
#include "pith/network/mixed_bits.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {

// What a recipe says of a network in integers. Throws ErrorKind::kUsage for recipes that are not
// for such networks, and for bad values.
network::MixedBitsOptions network_options(std::string_view name_or_id, Values values = {});

// Whether a recipe's plan says what to do with the layers of any network.
bool is_for_networks(const Recipe& recipe);
// By name.
std::vector<std::string_view> network_recipes();

// Throws ErrorKind::kUsage, with the nearest recipe that fits, for a recipe (null: none) that is
// for language models alone, or that looks at inputs where there are none.
void require_network(const Recipe* recipe, const Plan& plan, const std::filesystem::path& path,
                     bool has_inputs);

// What a plan, of which there may be several settings (recipe/sized_plan.h), says of layers.
network::CompressNetworkOptions layer_options(const Plan& plan);

}  // namespace pith::recipe
