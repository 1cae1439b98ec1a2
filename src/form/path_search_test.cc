// Paths through trellises where errors are fed back: beside all paths there are, and beside those
// that look at each element by itself.
#include "pith/form/path_search.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "pith/form/trellis_fit.h"
#include "test_matrices.h"
#include "trellis_code.h"
#include "trellis_search.h"

namespace pith::form {
namespace {

// Elements that are fed back among each other.
struct Row {
  std::vector<float> weights, scales, factor;
  std::vector<double> pivots;

  Row(uint64_t n, uint32_t seed, float size = 0.4f) : scales(n, 0.8f) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<double> pivot(0.2, 2);
    for (uint64_t i = 0; i < n; ++i) {
      weights.push_back(normal(random));
      pivots.push_back(pivot(random));
      for (uint64_t j = 0; j < n; ++j) factor.push_back(j > i ? size * normal(random) : 0);
    }
  }

  uint64_t n() const { return weights.size(); }

  PathSearch::Run run(int32_t before = -1) const {
    return {n(),           n(),           weights.data(), weights.data(),
            scales.data(), pivots.data(), factor.data(),  before};
  }

  template <class Windows>
  double error(const Windows& windows) const {
    std::vector<double> errors;
    double sum = 0;
    for (uint64_t j = 0; j < n(); ++j) {
      double wanted = weights[j];
      for (uint64_t i = 0; i < j; ++i) wanted += errors[i] * factor[i * n() + j];
      const double value = double{scales[j]} * trellis_value(windows[j]);
      errors.push_back(weights[j] - value);
      sum += pivots[j] * std::pow(wanted - value, 2);
    }
    return sum;
  }
};

void expect_path(std::span<const uint16_t> windows, int bits, int window, int32_t before = -1) {
  for (uint64_t i = 0; i < windows.size(); ++i) {
    ASSERT_LT(windows[i], 1u << window);
    const int32_t last = i == 0 ? before : windows[i - 1];
    if (last >= 0) {
      ASSERT_EQ(windows[i] >> bits, last & ((1 << (window - bits)) - 1)) << i;
    }
  }
}

// All paths of few elements, against what is found: the best where weights are all that matters,
// nearly the best where errors are fed back and paths that meet have left different ones.
TEST(PathSearch, FindsNearlyTheBestOfAllPaths) {
  for (const float size : {0.0f, 0.3f}) {
    double of_found = 0, of_best = 0;
    for (uint32_t seed = 0; seed < 40; ++seed) {
      const Row row(6, seed, size);
      double least = INFINITY;
      for (uint32_t bits = 0; bits < 1u << 10; ++bits) {
        std::array<uint16_t, 6> windows;
        for (uint32_t i = 0; i < 6; ++i) windows[i] = static_cast<uint16_t>(bits >> (5 - i) & 31);
        least = std::min(least, row.error(windows));
      }
      std::array<uint16_t, 6> found;
      PathSearch(1, 5)(row.run(), found.data());
      expect_path(found, 1, 5);
      EXPECT_GE(row.error(found), least * 0.9999);
      of_found += row.error(found);
      of_best += least;
    }
    EXPECT_LT(of_found, (size == 0 ? 1.0001 : 1.2) * of_best);
  }
}

TEST(PathSearch, IsViterbisWithoutFeedback) {
  const Row row(700, 1);
  std::vector<uint16_t> ours(700), viterbis(700);
  std::vector<float> x = row.weights;
  for (float& v : x) v /= 0.8f;
  for (const auto& [bits, window] : {std::pair(1, 8), {2, 9}, {3, 12}, {4, 10}, {6, 10}}) {
    PathSearch::Run run = row.run();
    const std::vector<double> alike(700, 3.0);
    run.pivots = alike.data();
    run.factor = nullptr;
    PathSearch search(bits, window);
    search(run, ours.data());
    expect_path(ours, bits, window);
    TrellisSearch(bits, window)(x.data(), 700, viterbis.data());
    const auto error = [&](const std::vector<uint16_t>& windows) {
      double sum = 0;
      for (uint64_t i = 0; i < 700; ++i) sum += std::pow(x[i] - trellis_value(windows[i]), 2);
      return sum;
    };
    EXPECT_LT(error(ours), 1.06 * error(viterbis)) << bits;
  }
}

// Beside the path of least squares of the weights as they are.
TEST(PathSearch, GainsByWhatItsOwnErrorsMean) {
  std::vector<uint16_t> ours(200), plain(200);
  for (const auto& [bits, window] : {std::pair(1, 8), {2, 10}, {3, 12}, {5, 10}}) {
    double of_ours = 0, of_plain = 0;
    for (uint32_t seed = 2; seed < 12; ++seed) {
      const Row row(200, seed, 0.1f);
      PathSearch search(bits, window);
      search(row.run(), ours.data());
      expect_path(ours, bits, window);
      PathSearch::Run alone = row.run();
      alone.factor = nullptr;
      search(alone, plain.data());
      of_ours += row.error(ours);
      of_plain += row.error(plain);
    }
    EXPECT_LT(of_ours, 0.8 * of_plain) << bits;
  }
}

TEST(PathSearch, EndsWhereItIsTold) {
  const Row row(100, 7, 0.06f);
  PathSearch search(2, 10);
  std::vector<uint16_t> whole(100), piece(100);
  search(row.run(), whole.data());
  for (const uint64_t n : {5, 20, 60, 80}) {
    PathSearch::Run run = row.run();
    run.n = run.settled = n;
    run.factor = nullptr;
    run.after = whole[n];
    search(run, piece.data());
    expect_path(std::span(piece).first(n), 2, 10);
    EXPECT_EQ(whole[n] >> 2, piece[n - 1] & 255) << n;
  }
}

// Row by row in pieces, each with a look at what comes after it: the path goes on, and what is
// settled does not depend on where pieces end by much.
TEST(PathSearch, GoesOnFromTheWindowBefore) {
  constexpr uint64_t kPiece = 64, kAll = 256;
  Row row(kAll, 3, 0);
  PathSearch search(2, 10);
  std::vector<uint16_t> whole(kAll), pieces(kAll);
  search(row.run(), whole.data());
  for (uint64_t first = 0; first < kAll; first += kPiece) {
    PathSearch::Run run = row.run(first == 0 ? -1 : pieces[first - 1]);
    run.n = std::min(kPiece + search.look_ahead(), kAll - first);
    run.settled = kPiece;
    run.weights += first;
    run.wanted += first;
    run.scales += first;
    run.pivots += first;
    run.factor = nullptr;
    search(run, pieces.data() + first);
  }
  expect_path(pieces, 2, 10);
  EXPECT_LT(row.error(pieces), 1.02 * row.error(whole));
}

TEST(PathSearch, IsTheSameOnEveryInstructionSet) {
  Row row(150, 4, 0.06f);
  for (uint64_t i = 0; i < 150; ++i) row.scales[i] = i % 60 < 30 ? 0.8f : 0.7f;
  for (const auto& [bits, window] : {std::pair(1, 9), {2, 12}, {3, 9}, {4, 12}, {6, 10}}) {
    std::vector<uint16_t> first, now(150);
    for_each_target([&](int64_t) {
      PathSearch(bits, window)(row.run(), now.data());
      if (first.empty()) first = now;
      EXPECT_EQ(now, first) << bits;
    });
  }
}

TEST(PathSearch, SurvivesExtremes) {
  for (const float size : {0.0f, 1e-30f, 1e30f}) {
    for (const float scale : {0.0f, 1e-30f, 1.0f, 1e30f}) {
      Row row(80, 5, size == 0 ? 0 : 1e3f);
      for (float& w : row.weights) w *= size;
      for (float& s : row.scales) s = scale;
      row.pivots[7] = 0;
      row.pivots[9] = 1e300;
      std::vector<uint16_t> windows(80);
      PathSearch(2, 8)(row.run(), windows.data());
      expect_path(windows, 2, 8);
    }
  }
}

TEST(TrellisFit, BeginsWithTheFormItIsGiven) {
  for (const Shape shape : {Shape{7, 40}, Shape{1, 1}, Shape{0, 8}, Shape{5, 0}}) {
    const Matrix w = noise(shape, 1);
    for (const char* text : {"trellis(1, states=64)", "trellis(2, group=16)",
                             "trellis(3, states=128)", "trellis(6, states=1024, group=tensor)"}) {
      const FormPtr start = encode(parse(text), w.view());
      TrellisFit fit(start);
      EXPECT_EQ(write(*fit.form()), write(*start)) << text;
      const Matrix decoded = decode(*start);
      for (uint64_t r = 0; r < shape.rows; ++r) {
        for (uint64_t c = 0; c < shape.cols; ++c) {
          EXPECT_EQ(fit.scale(r, c) * TrellisFit::value(fit.windows(r)[c]),
                    decoded.values[r * shape.cols + c])
              << text;
        }
      }
    }
  }
}

TEST(TrellisFit, RefusesFormsOfOtherKinds) {
  const Matrix w = noise({3, 16}, 12);
  EXPECT_THROW(TrellisFit(encode(parse("uniform(4)"), w.view())), Error);
  EXPECT_TRUE(TrellisFit::fits(parse("trellis(2)")));
  EXPECT_FALSE(TrellisFit::fits(parse("lattice(e8, 2)")));
}

}  // namespace
}  // namespace pith::form
