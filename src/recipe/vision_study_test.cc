// What codes, masks and low ranks leave of a small vision transformer, alone and in pairs, on
// images that nothing has seen ("A Comprehensive Survey of Model Compression and Speed up for
// Vision Transformers", Chen et al. 2024). `pith bench vision` has the whole table.
#include <gtest/gtest.h>

#include "../network/testing_data.h"
#include "../network/testing_images.h"
#include "pith/fit/stages.h"
#include "pith/network/curvature.h"
#include "pith/network/fitted_layers.h"

namespace pith::recipe {
namespace {

using namespace network::testing;
using fit::Stage;
using fit::StageKind;

class VisionStudyQuality : public ::testing::Test {
 protected:
  struct Outcome {
    uint64_t bytes;
    double right;
  };
  // All layers but the first and the last.
  Outcome of(const std::vector<Stage>& stages) const {
    const size_t last = net_.layers().size() - 1;
    const network::Network small =
        network::with_fitted_layers(net_, seen_, fit::in_stages(stages, {.block = 4}),
                                    [last](size_t i) { return i > 0 && i < last; });
    const auto logits = small.run({held_out_.pixels}, {.threads = 2});
    return {network::layer_bytes(small), network::accuracy(logits[0], held_out_.classes)};
  }
  static Stage codes(double bits) { return {StageKind::kCodes, bits}; }
  static Stage mask(double kept) { return {StageKind::kMask, kept}; }
  static Stage rank(double share) { return {StageKind::kRank, share}; }

  network::Network net_{graph_of_file("vit.onnx")};
  std::vector<fit::Metric> seen_ = network::input_moments(net_, {draw_images(500'000, 64).pixels});
  Images held_out_ = draw_images(kHeldOut, 200);
};

TEST_F(VisionStudyQuality, PairsAreBetterThanAnythingAloneBetweenSizesOfWholeBits) {
  const Outcome one = of({codes(1)}), two = of({codes(2)}), pair = of({mask(0.7), codes(2)});
  EXPECT_LT(pair.bytes, two.bytes);
  EXPECT_GT(pair.right, one.right + 0.05);
  // Ranks and masks alone do not get there.
  const Outcome factors = of({rank(0.25)});
  EXPECT_GT(factors.bytes, two.bytes);
  EXPECT_LT(factors.right, one.right);
  // But where codes alone just fit the pair is not better (5.8 points worse of 2,000 images).
  const Outcome same = of({mask(0.8), codes(2)});
  EXPECT_EQ(same.bytes, two.bytes);
  EXPECT_LT(same.right, two.right + 0.01);
  // The other order has the same size and loses more.
  const Outcome first = of({mask(0.5), codes(3)}), reversed = of({codes(3), mask(0.5)});
  EXPECT_EQ(reversed.bytes, first.bytes);
  EXPECT_LT(reversed.right, first.right - 0.05);
}

TEST_F(VisionStudyQuality, AMaskOnFactorsIsWorseThanEither) {
  const Outcome factors = of({rank(1)}), masked = of({mask(0.5)});
  const Outcome both = of({rank(1), mask(0.5)});
  EXPECT_LT(both.right, factors.right - 0.1);
  EXPECT_LT(both.right, masked.right - 0.1);
  EXPECT_GT(both.bytes, masked.bytes);
  // Factors of what codes have left are as large as without codes.
  EXPECT_EQ(of({codes(4), rank(0.5)}).bytes, of({rank(0.5)}).bytes);
}

}  // namespace
}  // namespace pith::recipe
