#include "pith/form/ggml_fit.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "pith/base/error.h"

namespace pith::form {
namespace {

Matrix noise(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  Matrix m(shape);
  for (float& v : m.values) v = normal(random);
  return m;
}

constexpr const char* kTypes[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0",   "q2_K",
                                  "q3_K", "q4_K", "q5_K", "q6_K", "iq4_nl", "iq4_xs"};

// Every element rounded to the nearest with the block's scales.
void put_nearest(GgmlFit& fit, uint64_t row, uint64_t at, std::span<const float> w,
                 const GgmlFit::Block& block) {
  std::array<uint8_t, 256> codes;
  for (uint64_t i = 0; i < w.size(); ++i) {
    codes[i] = fit.code(w[i], fit.scale(block, i / fit.group_length()));
  }
  fit.put(row, at, block, codes.data());
}

class GgmlFitTest : public testing::TestWithParam<const char*> {
 protected:
  Expression expression() const { return parse("ggml(" + std::string(GetParam()) + ")"); }
};

TEST_P(GgmlFitTest, RoundedToTheNearestIsWhatEncodingGives) {
  Matrix m = noise({5, 768}, 1);
  for (size_t i = 0; i < 300; ++i) m.values[i] = 0;
  GgmlFit fit(expression(), m.view());
  const uint64_t length = fit.block_length();
  for (uint64_t r = 0; r < 5; ++r) {
    for (uint64_t b = 0; b < 768 / length; ++b) {
      const auto w = m.view().row(r).subspan(b * length, length);
      put_nearest(fit, r, b, w, fit.block(w));
    }
  }
  EXPECT_EQ(write(*fit.form()), write(*encode(expression(), m.view())));
}

TEST_P(GgmlFitTest, ValuesAreWhatIsRead) {
  const Matrix m = noise({1, 256}, 2);
  GgmlFit fit(expression(), m.view());
  const uint64_t length = fit.block_length();
  std::vector<float> values;
  for (uint64_t b = 0; b < 256 / length; ++b) {
    const auto w = m.view().row(0).subspan(b * length, length);
    const GgmlFit::Block block = fit.block(w);
    EXPECT_TRUE(fit.holds(block));
    put_nearest(fit, 0, b, w, block);
    for (uint64_t i = 0; i < length; ++i) {
      const UniformScale scale = fit.scale(block, i / fit.group_length());
      values.push_back(fit.value(fit.code(w[i], scale), scale));
    }
  }
  EXPECT_EQ(decode(*fit.form()).values, values);
}

double weighted_error(const GgmlFit& fit, const GgmlFit::Block& block, std::span<const float> w,
                      std::span<const float> importance) {
  double sum = 0;
  for (uint64_t i = 0; i < w.size(); ++i) {
    const UniformScale scale = fit.scale(block, i / fit.group_length());
    const double e = w[i] - fit.value(fit.code(w[i], scale), scale);
    sum += importance[i] * e * e;
  }
  return sum;
}

TEST_P(GgmlFitTest, ElementsThatMatterMoreAreFittedBetter) {
  const Matrix m = noise({64, 256}, 3);
  const GgmlFit fit(expression(), m.view());
  std::vector<float> importance(fit.block_length());
  for (size_t i = 0; i < importance.size(); ++i) importance[i] = i % 5 == 0 ? 1.0f : 0.01f;
  double by_importance = 0, plain = 0;
  for (uint64_t r = 0; r < 64; ++r) {
    const auto w = m.view().row(r).first(importance.size());
    by_importance += weighted_error(fit, fit.block(w, importance), w, importance);
    plain += weighted_error(fit, fit.block(w), w, importance);
  }
  EXPECT_LT(by_importance, 0.95 * plain);
}

TEST_P(GgmlFitTest, OneGroupIsFittedAgainBesideTheOthers) {
  const Matrix m = noise({32, 256}, 4);
  const GgmlFit fit(expression(), m.view());
  const uint64_t length = fit.block_length(), group = fit.group_length(), last = length / group - 1;
  const std::vector<float> equal(length, 1.0f);
  double before = 0, after = 0;
  for (uint64_t r = 0; r < 32; ++r) {
    std::vector<float> w(m.view().row(r).begin(), m.view().row(r).begin() + length);
    GgmlFit::Block block = fit.block(w);
    const GgmlFit::Block first = block;
    for (uint64_t i = last * group; i < length; ++i) w[i] *= 0.5f;
    before += weighted_error(fit, block, w, equal);
    fit.refit(block, last, std::span(w).subspan(last * group));
    after += weighted_error(fit, block, w, equal);
    for (uint64_t g = 0; g < last; ++g) {
      EXPECT_EQ(fit.scale(block, g).scale, fit.scale(first, g).scale);
      EXPECT_EQ(fit.scale(block, g).zero, fit.scale(first, g).zero);
    }
  }
  EXPECT_LT(after, before);
}

TEST_P(GgmlFitTest, SurvivesAnySizeAndImportance) {
  for (const float size : {0.0f, 1e-38f, 1e-7f, 1e10f, 3e38f}) {
    Matrix m = noise({1, 256}, 5);
    for (float& v : m.values) v *= size;
    GgmlFit fit(expression(), m.view());
    std::vector<float> importance(fit.block_length());
    for (size_t i = 0; i < importance.size(); ++i) importance[i] = i % 3 == 0 ? 1e-12f : 0;
    const auto w = m.view().row(0).first(importance.size());
    for (const bool none : {false, true}) {
      if (none) std::ranges::fill(importance, 0.0f);
      const GgmlFit::Block block = fit.block(w, importance);
      EXPECT_TRUE(fit.holds(block));
      put_nearest(fit, 0, 0, w, block);
    }
    for (const float v : decode(*fit.form()).values) EXPECT_TRUE(std::isfinite(v)) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GgmlFitTest, testing::ValuesIn(kTypes));

TEST(GgmlFit, RefusesWhatIsNoSuchType) {
  const Matrix m = noise({1, 256}, 6);
  for (const char* text : {"ggml(mxfp4)", "ggml(tq2_0)", "ggml(f16)", "uniform(4)", "ggml(no)"}) {
    EXPECT_THROW(GgmlFit(parse(text), m.view()), Error) << text;
  }
  EXPECT_THROW(GgmlFit(parse("ggml(q4_K)"), {m.values.data(), {1, 255}}), Error);
  Matrix bad = m;
  bad.values[9] = NAN;
  EXPECT_THROW(GgmlFit(parse("ggml(q4_K)"), bad.view()), Error);
}

}  // namespace
}  // namespace pith::form
