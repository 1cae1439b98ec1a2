// Attention of a network: where it is, and its products factored by heads.
#include "pith/network/joined_heads.h"

#include <gtest/gtest.h>

#include "layer_table.h"
#include "pith/base/error.h"
#include "pith/network/attention.h"
#include "testing_data.h"
#include "testing_images.h"

namespace pith::network {
namespace {

using namespace testing;

TEST(Attention, IsFoundByWhatIsComputed) {
  const Network net(graph_of_file("vit.onnx"));
  const std::vector<Attention> found = find_attention(net, {draw_images(0, 2).pixels});
  ASSERT_EQ(found.size(), 3U);
  for (const Attention& a : found) {
    EXPECT_EQ(a.heads(), 4U);
    EXPECT_EQ(a.size(), 8U);
    EXPECT_EQ(a.query.layer, a.key.layer);
    EXPECT_EQ(net.layers()[a.query.layer].weight->shape(), (form::Shape{96, 32}));
    EXPECT_NE(a.query.bias.find("qkv.bias"), std::string::npos) << a.query.bias;
    for (uint64_t h = 0; h < 4; ++h) {
      for (uint64_t i = 0; i < 8; ++i) {
        EXPECT_EQ(a.query.rows[h][i], 8 * h + i);
        EXPECT_EQ(a.key.rows[h][i], 32 + 8 * h + i);
        EXPECT_EQ(a.value.rows[h][i], 64 + 8 * h + i);
        EXPECT_EQ(a.output.rows[h][i], 8 * h + i);
      }
    }
  }
  EXPECT_TRUE(
      find_attention(Network(graph_of_file("residual.onnx")), {draw_images(0, 1).pixels}).empty());
}

class JoinedHeadsQuality : public ::testing::Test {
 protected:
  CompressedNetwork with(const JoinOptions& options, const NetworkLimits& limits = {}) const {
    CompressNetworkOptions o;
    o.inputs = {draw_images(500'000, 16).pixels};
    o.join = [&](const JoiningLayers& j) { return join_heads(j, options); };
    const std::filesystem::path paths[] = {data_file("vit.onnx")};
    return NetworkCompressor(io::read_onnx_graph(paths[0]), archive::expand_inputs(paths),
                             std::move(o))
        .compress(limits);
  }
};

TEST_F(JoinedHeadsQuality, AtFullRankNothingChanges) {
  const CompressedNetwork all = with({.keep = 1, .searched = false});
  EXPECT_LT(*all.error, 1e-5);
  for (const FittedLayer& l : all.layers) EXPECT_NE(l.form, "as it is") << l.tensor;
}

TEST_F(JoinedHeadsQuality, LessOfThemIsMoreErrorAndFewerBytes) {
  const CompressedNetwork most = with({.keep = 0.8}), some = with({.keep = 0.5});
  EXPECT_LT(some.bytes, most.bytes);
  EXPECT_GT(*some.error, 1.5 * *most.error);
  EXPECT_LT(*most.error, 0.5);
  const CompressedNetwork within = with({}, {.bytes = 95'000});
  EXPECT_LE(within.bytes, 95'000);
  EXPECT_THROW(with({}, {.bytes = 30'000}), Error);
}

}  // namespace
}  // namespace pith::network
