// Recipes on networks of ONNX: which are for them, and that all of these do something there.
#include <gtest/gtest.h>

#include "../network/testing_data.h"
#include "../network/testing_images.h"
#include "pith/archive/reader.h"
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

TEST(NetworkRecipesQuality, AllTakeAVisionTransformer) {
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

TEST(NetworkRecipesQuality, TurnWhatSetsTheirSizeWithinALimit) {
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

// COMCAT on a small vision transformer, at equal elements and on images that the fit has not seen:
// products of heads lose less than low ranks of each matrix, searched ranks less than the same
// share of all.
TEST(NetworkRecipesQuality, ProductsOfHeadsLoseLessThanEachMatrixAlone) {
  const network::Network whole(graph_of_file("vit.onnx"));
  const network::Tensor images = draw_images(kHeldOut, 60).pixels;
  const auto lost = [&](const Values& values) {
    Plan plan;
    apply(find_recipe("comcat"), values, plan);
    network::CompressNetworkOptions options = layer_options(plan);
    options.inputs = {draw_images(500'000, 32).pixels};
    options.threads = 2;
    const std::filesystem::path paths[] = {data_file("vit.onnx")};
    const auto inputs = archive::expand_inputs(paths);
    const network::NetworkCompressor compressor(io::read_onnx_graph(paths[0]), inputs, options);
    archive::WriteOptions write;
    compressor.store(compressor.compress({}), write);
    Bytes archive, file;
    archive::write_archive(
        inputs, [&](ByteView more) { archive.insert(archive.end(), more.begin(), more.end()); },
        write);
    archive::Archive::open_memory(archive).extract_file(
        0, [&](ByteView more) { file.insert(file.end(), more.begin(), more.end()); });
    const network::Network small(
        network::graph_of(io::read_onnx_graph(Buffer(std::move(file)), "small")));
    const network::Tensor y = whole.run({images})[0], x = small.run({images})[0];
    double error = 0, squares = 0;
    for (uint64_t i = 0; i < y.size(); ++i) {
      error += std::pow(x.floats()[i] - y.floats()[i], 2);
      squares += std::pow(y.floats()[i], 2);
    }
    return error / squares;
  };
  const double joined = lost({{"keep", "70%"}});
  EXPECT_LT(joined, 0.6 * lost({{"keep", "70%"}, {"heads", "separate"}}));
  EXPECT_LT(joined, 0.2 * lost({{"keep", "75%"}, {"ranks", "same"}}));
}

}  // namespace
}  // namespace pith::recipe
