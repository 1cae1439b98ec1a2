#include "pith/network/fitted_layers.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/fit/quantizers.h"
#include "testing_data.h"
#include "testing_images.h"

namespace pith::network {
namespace {

using namespace testing;

TEST(FittedLayers, OnesThatAreTakenGetTheFittersForms) {
  const Network net(graph_of_file("residual.onnx"));
  const Tensor images = draw_images(0, 4).pixels;
  const std::vector<fit::Metric> seen = input_moments(net, {images});
  ASSERT_EQ(seen.size(), net.layers().size());
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].columns(), net.layers()[i].weight->shape().cols);
  }
  const fit::Fitter four = fit::feedback_fitter(form::parse("uniform(4, group=row)"));
  const Network some = with_fitted_layers(net, seen, four, [](size_t i) { return i == 1; });
  EXPECT_EQ(form::to_string(some.layers()[0].weight->expression()), "dense(f32)");
  EXPECT_EQ(form::to_string(some.layers()[1].weight->expression()), "uniform(4, group=row)");
  const Network all = with_fitted_layers(net, seen, four);
  EXPECT_LT(layer_bytes(all), layer_bytes(some));
  EXPECT_LT(layer_bytes(some), layer_bytes(net));
  EXPECT_LT(layer_bytes(all), layer_bytes(net) / 5);
  EXPECT_EQ(layer_weights(all), layer_weights(net));
  EXPECT_GE(layer_bytes(net), 4 * layer_weights(net));
  EXPECT_EQ(other_bytes(all), other_bytes(net));
  EXPECT_LT(other_bytes(net), layer_bytes(net));
  const Network floats = decoded_layers(all);
  EXPECT_EQ(floats.decoded(1).values, all.decoded(1).values);
  EXPECT_EQ(form::to_string(floats.layers()[1].weight->expression()), "dense(f32)");
  EXPECT_THROW(with_fitted_layers(net, {}, four), Error);
}

}  // namespace
}  // namespace pith::network
