// Recipes on networks of ONNX: which are for them, and that all of these do something there.
#include <gtest/gtest.h>

#include "../network/testing_data.h"
#include "../network/testing_images.h"
#include "pith/base/error.h"
#include "pith/recipe/network_plan.h"
#include "pith/recipe/sized_plan.h"

namespace pith::recipe {
namespace {

using namespace network::testing;
using network::CompressedNetwork;

class Fit {
 public:
  explicit Fit(const std::string& name) : path_(data_file(name)) {
    const std::filesystem::path paths[] = {path_};
    inputs_ = archive::expand_inputs(paths);
  }
  CompressedNetwork of(const Plan& plan, const network::NetworkLimits& limits = {}) const {
    network::CompressNetworkOptions options = layer_options(plan);
    options.inputs = {draw_images(500'000, 8).pixels};
    options.threads = 2;
    return network::NetworkCompressor(io::read_onnx_graph(path_), inputs_, std::move(options))
        .compress(limits);
  }

 private:
  std::filesystem::path path_;
  std::vector<archive::Input> inputs_;
};

std::string refusal(std::string_view recipe, bool has_inputs) {
  Plan plan;
  apply(find_recipe(recipe), {}, plan);
  try {
    require_network(&find_recipe(recipe), plan, "net.onnx", has_inputs);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "";
}

TEST(NetworkRecipes, ThoseForDecodersSayWhichIsNearest) {
  EXPECT_EQ(refusal("gptq", true), "");
  EXPECT_EQ(refusal("rtn", false), "");
  EXPECT_NE(refusal("gptq", false).find("--inputs"), std::string::npos);
  EXPECT_NE(refusal("gptq", false).find("rtn is the nearest that needs none"), std::string::npos);
  for (const Recipe& r : all_recipes()) {
    if (!is_for_models(r) || is_for_networks(r)) continue;
    const std::string why = refusal(r.name, true);
    EXPECT_NE(why.find("is for language models"), std::string::npos) << r.name << why;
    EXPECT_NE(why.find(" is the nearest that fits it"), std::string::npos) << r.name << why;
  }
  const std::vector<std::string_view> names = network_recipes();
  for (const char* name : {"rtn", "gptq", "awq", "adaquant", "wanda", "sparsegpt", "lr2vq",
                           "dynamical-clustering", "hawq-v3", "lord"}) {
    EXPECT_NE(std::ranges::find(names, name), names.end()) << name;
  }
  for (const char* name : {"mc-moe", "evopress", "late-attention", "pv-tuning", "fwsvd"}) {
    EXPECT_EQ(std::ranges::find(names, name), names.end()) << name;
  }
}

TEST(NetworkRecipes, AllTakeAVisionTransformer) {
  const Fit fit("vit.onnx");
  for (const std::string_view name : network_recipes()) {
    Plan plan;
    Values values;
    // Less work than by default.
    for (const Option& o : find_recipe(name).options) {
      if (o.key == "steps" || o.key == "rounds") values[std::string(o.key)] = "2";
      if (o.key == "rank") values["rank"] = "8";
      if (o.key == "count") values["count"] = "2";
      if (o.key == "block" && o.default_value != "column") values["block"] = "8";
    }
    apply(find_recipe(name), values, plan);
    const bool chooses = plan.candidates.size() > 1 && !plan.allocation.has_limit;
    try {
      const CompressedNetwork made = fit.of(plan, {.bytes = chooses ? 150'000 : 1'000'000});
      EXPECT_FALSE(made.tensors.empty()) << name;
      ASSERT_TRUE(made.error.has_value()) << name;
      EXPECT_GT(*made.error, 0) << name;
      EXPECT_LT(*made.error, 5) << name;
    } catch (const Error& e) {
      ADD_FAILURE() << name << ": " << e.what();
    }
  }
}

TEST(NetworkRecipes, TurnWhatSetsTheirSizeWithinALimit) {
  const Fit fit("vit.onnx");
  double before = 1e9;
  for (const uint64_t bytes : {70'000, 76'000, 90'000}) {
    SizedPlan sized = at_sizes(find_recipe("gptq"));
    const CompressedNetwork made = fit.of(sized.plan, {.bytes = bytes});
    EXPECT_LE(made.bytes, bytes);
    EXPECT_NE(made.note.find("bits="), std::string::npos) << made.note;
    EXPECT_LT(*made.error, before);
    before = *made.error;
  }
}

}  // namespace
}  // namespace pith::recipe
