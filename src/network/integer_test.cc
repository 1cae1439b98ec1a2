#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/network/curvature.h"
#include "pith/network/dyadic.h"
#include "pith/network/integer_network.h"
#include "testing_data.h"
#include "testing_images.h"

namespace pith::network {
namespace {

using namespace testing;

TEST(Dyadic, IsNearAndRoundsHalvesUpwards) {
  for (uint64_t n = 0; n < 1000; ++n) {
    const double v = std::exp2(40 * random_unit(1, n) - 30) * (n % 2 == 0 ? 1 : -1);
    if (std::abs(v) >= 0x1p23) continue;
    const Dyadic d = nearest_dyadic(v);
    EXPECT_LE(std::abs(d.value() - v), std::abs(v) * 0x1p-24);
    EXPECT_LT(std::abs(d.b), 1 << 24);
  }
  EXPECT_EQ(nearest_dyadic(0), (Dyadic{0, 0}));
  EXPECT_EQ(rescaled(3, nearest_dyadic(0.5)), 2);
  EXPECT_EQ(rescaled(-3, nearest_dyadic(0.5)), -1);
  EXPECT_EQ(rescaled(7, nearest_dyadic(1)), 7);
  EXPECT_NEAR(nearest_dyadic(0x1p-45).value(), 0x1p-45, 0x1p-60);
  EXPECT_EQ(nearest_dyadic(0x1p-90).b, 0);
  EXPECT_THROW(nearest_dyadic(0x1p23), Error);
  EXPECT_THROW(nearest_dyadic(NAN), Error);
}

const Network& folded() {
  static const Network network = [] {
    Graph graph = graph_of_file("residual.onnx");
    fold_batch_norms(graph);
    return Network(std::move(graph));
  }();
  return network;
}

Network with_bits(std::span<const int> bits) {
  Network network = folded();
  for (size_t i = 0; i < bits.size(); ++i) {
    const auto e = form::parse(fmt::format("uniform({}, group=row, scales=f32)", bits[i]));
    network.set_form(i, form::encode(e, network.decoded(i).view()));
  }
  return network;
}

const ActivationSamples& samples() {
  static const ActivationSamples seen(folded(), draw_images(500'000, 16).pixels);
  return seen;
}

TEST(IntegerNetwork, IsSimulatedQuantizationBitForBit) {
  const Images images = draw_images(kHeldOut, 16);
  for (const int b : {8, 5, 4, 2}) {
    // Layers of different bits, too.
    std::vector<int> bits(folded().layers().size(), b);
    bits[3] = 8;
    const IntegerNetwork integers(with_bits(bits), samples(), bits);
    const IntegerTensor codes = integers.quantized(images.pixels);
    const IntegerTensor made = integers.run(codes);
    const Tensor simulated =
        Network(integers.simulated())
            .run({Tensor(codes.dims,
                         std::vector<float>(codes.values.begin(), codes.values.end()))})[0];
    ASSERT_EQ(simulated.dims(), made.dims);
    for (size_t i = 0; i < made.values.size(); ++i) {
      ASSERT_EQ(simulated.floats()[i], static_cast<float>(made.values[i])) << b << " bits, " << i;
    }
    EXPECT_EQ(integers.run(codes, 2), made);
    // Not all the same, so that something was compared.
    EXPECT_NE(*std::ranges::min_element(made.values), *std::ranges::max_element(made.values));
  }
}

TEST(IntegerNetwork, EightBitsAreNearTheNetworkInFloats) {
  const Images images = draw_images(kHeldOut, 16);
  const std::vector<int> bits(folded().layers().size(), 8);
  const IntegerNetwork integers(with_bits(bits), samples(), bits);
  const Tensor made = integers.dequantized(integers.run(integers.quantized(images.pixels)));
  const Tensor floats = folded().run({images.pixels})[0];
  EXPECT_LT(difference(made, floats), 0.1);
  EXPECT_GT(difference(made, floats), 0);
}

TEST(IntegerNetwork, RefusesWhatHasNoIntegerForm) {
  const std::vector<int> bits(10, 8);
  const auto message = [&](const Network& network, std::span<const int> of) {
    try {
      const ActivationSamples seen(network, draw_images(0, 1).pixels);
      IntegerNetwork integers(network, seen, of);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(message(Network(graph_of_file("residual.onnx")), bits).find("no form of integers"),
            std::string::npos);
  EXPECT_NE(message(Network(graph_of_file("vit.onnx")), std::vector<int>(10, 8)).find("bits for"),
            std::string::npos);
  EXPECT_NE(message(with_bits(bits), std::vector<int>(10, 9)).find("9 bits"), std::string::npos);
  EXPECT_NE(message(with_bits(bits), std::vector<int>(3, 8)).find("3 layers of 10"),
            std::string::npos);
}

TEST(IntegerNetwork, TakesOnlyItsCodes) {
  const std::vector<int> bits(10, 4);
  const IntegerNetwork integers(with_bits(bits), samples(), bits);
  IntegerTensor codes = integers.quantized(draw_images(0, 1).pixels);
  codes.values[5] = 8;  // of -8 to 7
  EXPECT_THROW(integers.run(codes), Error);
  codes.values.pop_back();
  EXPECT_THROW(integers.run(codes), Error);
}

}  // namespace
}  // namespace pith::network
