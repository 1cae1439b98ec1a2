#include "grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::form {
namespace {

TEST(Grid, GaussianLevelsAreThoseOfMax) {
  // Max, "Quantizing for minimum distortion" (1960), table I: 4 and 8 levels.
  const std::vector<float> four = grid_levels("gaussian", 2, true),
                           eight = grid_levels("gaussian", 3, true);
  const float expected4[] = {-1.510f, -0.4528f, 0.4528f, 1.510f};
  const float expected8[] = {-2.152f, -1.344f, -0.7560f, -0.2451f,
                             0.2451f, 0.7560f, 1.344f,   2.152f};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(four[i], expected4[i], 6e-4);
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(eight[i], expected8[i], 6e-4);
}

TEST(Grid, FloatsOfFourAndEightBits) {
  const std::vector<float> fp4 = grid_levels("fp4", 4, true);
  EXPECT_EQ(
      fp4, (std::vector<float>{-6, -4, -3, -2, -1.5f, -1, -0.5f, 0, 0, 0.5f, 1, 1.5f, 2, 3, 4, 6}));
  const std::vector<float> fp8 = grid_levels("fp8", 8, true);
  EXPECT_EQ(fp8.size(), 254u);
  EXPECT_EQ(fp8.back(), 448);
  EXPECT_EQ(*std::upper_bound(fp8.begin(), fp8.end(), 0.0f), 0x1p-9f);
}

TEST(Grid, NearestIsNearest) {
  for (const auto* name : {"uniform", "gaussian"}) {
    const std::vector<float> levels = grid_levels(name, 4, true);
    const NearestLevel nearest(levels);
    for (float v = -10; v < 10; v += 0.013f) {
      const float error = std::fabs(v - levels[nearest(v)]);
      for (const float l : levels) ASSERT_LE(error, std::fabs(v - l) + 1e-6f) << v;
    }
  }
}

TEST(Grid, RefusesWhatThereIsNot) {
  EXPECT_THROW(grid_levels("nf4", 3, true), Error);
  EXPECT_THROW(grid_levels("round", 4, true), Error);
}

}  // namespace
}  // namespace pith::form
