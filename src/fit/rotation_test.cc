#include "pith/fit/rotation.h"

#include <gtest/gtest.h>

#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;
using Side = RotatedMatrix::Side;

// Weights a few of whose channels are much larger, as those of a residual stream are.
Matrix with_outliers(Shape shape, Side side, uint32_t seed) {
  Matrix w = noise(shape, seed, 0.02f);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; ++c) {
      const uint64_t channel = side == Side::kColumns ? c : r;
      if (channel % 29 == 3) w.row(r)[c] *= 20;
    }
  }
  return w;
}

struct Stream {
  static constexpr uint64_t kWidth = 96;
  std::vector<Matrix> weights;
  std::vector<RotatedMatrix> matrices;

  explicit Stream(uint32_t seed, const Metric& metric = {}) {
    for (uint32_t i = 0; i < 3; ++i) {
      weights.push_back(with_outliers({80, kWidth}, Side::kColumns, seed + i));
      weights.push_back(with_outliers({kWidth, 64}, Side::kRows, seed + 10 + i));
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      const bool reads = i % 2 == 0;
      matrices.push_back(
          {weights[i].view(), reads ? Side::kColumns : Side::kRows, reads ? metric : Metric(), {}});
    }
  }
};

TEST(Rotation, HadamardsAreOrthogonalAndFlat) {
  for (const uint64_t n : {1, 2, 16, 64, 96, 100}) {
    const Matrix r = hadamard_rotation(n, 5);
    EXPECT_LT(orthogonality_error(r.view()), 1e-5) << n;
    for (const float v : r.values) {
      EXPECT_LE(std::abs(v), 1.5 / std::sqrt(static_cast<double>(n))) << n;
    }
  }
  EXPECT_EQ(orthogonality_error(identity_rotation(7).view()), 0);
  EXPECT_NE(hadamard_rotation(64, 1).values, hadamard_rotation(64, 2).values);
}

TEST(Rotation, LearnedOnesLoseLessThanHadamardAndIdentity) {
  const Metric inputs = metric_of(correlated(1000, Stream::kWidth, 3));
  for (const char* text : {"uniform(4, group=32)", "ggml(q4_0)"}) {
    for (const Metric& metric : {Metric(), inputs}) {
      const Stream s(1, metric);
      const Rounding rounding = rounding_to(parse(text));
      const Matrix start = hadamard_rotation(Stream::kWidth, 1);
      const LearnedRotation learned =
          learn_rotation(start.view(), s.matrices, rounding, {.steps = 60, .threads = 2});
      EXPECT_LT(orthogonality_error(learned.rotation.view()), 1e-5);
      const auto error = [&](const Matrix& r) {
        return rotated_error(r.view(), s.matrices, rounding, 1);
      };
      const double hadamard = error(start);
      const double identity = error(identity_rotation(Stream::kWidth));
      EXPECT_NEAR(learned.start, hadamard, 1e-3 * hadamard);
      EXPECT_NEAR(learned.error, error(learned.rotation), 1e-3 * learned.error);
      EXPECT_LT(learned.error, 0.95 * hadamard) << text;
      EXPECT_LT(learned.error, 0.7 * identity) << text;
    }
  }
}

// It is the matrices' own channels that it learned: others of the same kind gain too.
TEST(Rotation, HoldForOtherMatricesWithTheSameChannels) {
  const Stream seen(1), other(50);
  const Rounding rounding = rounding_to(parse("uniform(4, group=32)"));
  const Matrix start = hadamard_rotation(Stream::kWidth, 1);
  const LearnedRotation learned =
      learn_rotation(start.view(), seen.matrices, rounding, {.steps = 60});
  EXPECT_LT(rotated_error(learned.rotation.view(), other.matrices, rounding),
            0.97 * rotated_error(start.view(), other.matrices, rounding));
}

TEST(Rotation, ErrorIsThatOfTheRotatedMatrices) {
  const Matrix w = noise({10, 16}, 1), v = noise({16, 12}, 2);
  std::vector<double> along(16), across(10);
  for (size_t i = 0; i < along.size(); ++i) along[i] = 1 + static_cast<double>(i);
  for (size_t i = 0; i < across.size(); ++i) across[i] = 2 + static_cast<double>(i);
  const std::vector<RotatedMatrix> both = {
      {w.view(), Side::kColumns, Metric::diagonal(along), across},
      {v.view(), Side::kRows, Metric::diagonal(along), {}}};
  // Rounds everything to zero, so that the error is the matrices themselves.
  const Rounding nothing{[](form::MatrixView rows) { return Matrix(rows.shape); }};
  double wanted = 0;
  for (uint64_t r = 0; r < 16; ++r) {
    for (uint64_t i = 0; i < 10; ++i) {
      wanted += across[i] * along[r] * std::pow(w.view().row(i)[r], 2);
    }
    for (uint64_t c = 0; c < 12; ++c) wanted += along[r] * std::pow(v.view().row(r)[c], 2);
  }
  EXPECT_NEAR(rotated_error(identity_rotation(16).view(), both, nothing), wanted, 1e-4 * wanted);
}

TEST(Rotation, AnyNumberOfThreads) {
  const Stream s(7, metric_of(correlated(300, Stream::kWidth, 3)));
  const Rounding rounding = rounding_to(parse("uniform(4, group=32)"));
  const Matrix start = hadamard_rotation(Stream::kWidth, 1);
  const auto with = [&](int threads) {
    return learn_rotation(start.view(), s.matrices, rounding, {.steps = 5, .threads = threads});
  };
  EXPECT_EQ(with(1).rotation.values, with(3).rotation.values);
}

TEST(Rotation, DegenerateOnes) {
  const Rounding rounding = rounding_to(parse("uniform(4, group=32)"));
  for (const uint64_t n : {0, 1, 3}) {
    const Matrix zero({5, n}), start = identity_rotation(n);
    const std::vector<RotatedMatrix> zeros = {{zero.view(), Side::kColumns, {}, {}}};
    for (const auto& matrices : {zeros, std::vector<RotatedMatrix>()}) {
      const LearnedRotation r = learn_rotation(start.view(), matrices, rounding, {.steps = 3});
      EXPECT_EQ(r.rotation.values, start.values);
      EXPECT_EQ(r.error, 0);
    }
  }
}

TEST(Rotation, RefuseWhatDoesNotFit) {
  const Rounding rounding = rounding_to(parse("uniform(4)"));
  const Matrix start = identity_rotation(8);
  Matrix w = noise({4, 8}, 1);
  const auto learn = [&](const RotatedMatrix& m) {
    const std::vector<RotatedMatrix> one = {m};
    return refusal([&] { learn_rotation(start.view(), one, rounding, {.steps = 2}); });
  };
  EXPECT_EQ(learn({w.view(), Side::kRows, {}, {}}),
            "rotation: a matrix of 4 x 8 has not the 8 coordinates of it");
  EXPECT_EQ(learn({w.view(), Side::kColumns, {}, {1, 2}}),
            "rotation: 2 importances for 4 rows or columns");
  EXPECT_NE(learn({w.view(), Side::kColumns, Metric::diagonal({1, 2}), {}}), "");
  w.row(1)[2] = NAN;
  EXPECT_NE(learn({w.view(), Side::kColumns, {}, {}}), "");
  const Matrix skewed = noise({8, 8}, 2), flat = noise({4, 8}, 2);
  for (const Matrix* bad : {&skewed, &flat}) {
    EXPECT_NE(refusal([&] { learn_rotation(bad->view(), {}, rounding, {}); }), "");
  }
}

}  // namespace
}  // namespace pith::fit
