// Weights taken out of a small diffusion, of its encoder of words and of its denoiser ("Efficient
// Pruning of Text-to-Image Models: Insights from Pruning Stable Diffusion", Ramesh and Zhao 2024).
// `pith bench diffusion` has the whole grid.
#include <gtest/gtest.h>

#include "../network/testing_data.h"
#include "../network/testing_diffusion.h"

namespace pith::recipe {
namespace {

using fit::Score;
using network::testing::Diffusion;

class DiffusionStudyQuality : public ::testing::Test {
 protected:
  Diffusion::Quality of(double encoder, double denoiser, Score by) const {
    return diffusion_.quality(diffusion_.pruned_words(encoder, by),
                              diffusion_.pruned_denoiser(denoiser, by), 2);
  }

  Diffusion diffusion_{network::testing::data_file("words.onnx").parent_path(), 500};
};

TEST_F(DiffusionStudyQuality, DrawsWhatIsAskedForUntilTooMuchIsGone) {
  const auto whole = of(0, 0, Score::kMagnitude);
  EXPECT_GT(whole.asked, 0.8);
  // Flat, then a fall, for each part.
  const Score by = Score::kActivation;
  EXPECT_LT(of(0.4, 0, by).distance, 1.2 * whole.distance);
  EXPECT_GT(of(0.8, 0, by).distance, 3 * whole.distance);
  EXPECT_LT(of(0.8, 0, by).asked, 0.6);
  EXPECT_LT(of(0, 0.2, by).distance, 2 * whole.distance);
  EXPECT_GT(of(0, 0.5, by).distance, 6 * whole.distance);
}

TEST_F(DiffusionStudyQuality, MoreOfTheEncoderIsBetterThanAsMuchOfEach) {
  // Of 49,920 weights 13,056 are the encoder's.
  for (const Score by : {Score::kMagnitude, Score::kActivation}) {
    const double denoiser = (0.3 * 49920 - 0.5 * 13056) / 36864;
    const auto each = of(0.3, 0.3, by), split = of(0.5, denoiser, by);
    EXPECT_LT(split.distance, each.distance);
  }
  // Where drawings are still good activations tell more than size, which contradicts the paper.
  EXPECT_LT(of(0, 0.2, Score::kActivation).distance, of(0, 0.2, Score::kMagnitude).distance);
  EXPECT_LT(of(0.6, 0, Score::kActivation).distance, of(0.6, 0, Score::kMagnitude).distance);
}

}  // namespace
}  // namespace pith::recipe
