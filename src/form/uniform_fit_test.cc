#include "pith/form/uniform_fit.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "pith/base/half.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

double weighted_error(const UniformFit& fit, UniformScale s, std::span<const float> w,
                      std::span<const float> importance) {
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    sum += importance[i] * std::pow(double{w[i]} - fit.value(fit.code(w[i], s), s), 2);
  }
  return sum;
}

constexpr std::array kForms = {"uniform(2)",
                               "uniform(3, zero=true)",
                               "uniform(4, grid=nf4)",
                               "uniform(3, grid=gaussian)",
                               "uniform(2, grid=ternary)",
                               "uniform(3, grid=kmeans)"};

TEST(UniformFit, ImportantElementsAreNearer) {
  const Matrix m = noise({40, 33}, 1);
  std::vector<float> importance(33, 1e-3f);
  for (size_t i = 0; i < 33; i += 4) importance[i] = 1;
  for (const char* text : kForms) {
    const UniformFit fit(parse(text), m.view());
    double equal = 0, weighted = 0;
    for (uint64_t r = 0; r < 40; ++r) {
      const auto w = m.view().row(r);
      equal += weighted_error(fit, fit.fit(w), w, importance);
      weighted += weighted_error(fit, fit.fit(w, importance), w, importance);
    }
    EXPECT_LT(weighted, 0.95 * equal) << text;
  }
}

TEST(UniformFit, ElementsWithoutImportanceDoNotMatter) {
  Matrix m = noise({1, 20}, 1), shorter({1, 19});
  m.row(0)[19] = 5;
  std::copy_n(m.values.data(), 19, shorter.values.data());
  std::vector<float> importance(20, 1);
  importance[19] = 0;
  const UniformFit fit(parse("uniform(4, zero=true)"), m.view());
  const UniformScale s = fit.fit(m.values, importance);
  EXPECT_LT(weighted_error(fit, s, m.values, importance),
            weighted_error(fit, fit.fit(m.values), m.values, importance));
  EXPECT_TRUE(std::isfinite(fit.fit(m.values, std::vector<float>(20, 0.0f)).scale));
}

TEST(UniformFit, CodesAreTheSameOneByOne) {
  const Matrix m = noise({8, 41}, 3);
  for (const char* text : kForms) {
    const UniformFit fit(parse(text), m.view());
    for (uint64_t r = 0; r < 8; ++r) {
      const auto w = m.view().row(r);
      for (const UniformScale s : {fit.fit(w), UniformScale{0, 0}, UniformScale{-0.01f, 0.001f}}) {
        std::vector<uint8_t> all(w.size());
        fit.codes(w, s, all.data());
        for (size_t i = 0; i < w.size(); ++i) {
          EXPECT_EQ(fit.code(w[i], s), all[i]) << text << " " << w[i] << " " << s.scale;
        }
      }
    }
  }
}

TEST(UniformFit, CodesBeyondAllNumbersAreSome) {
  const Matrix m = noise({1, 4}, 3);
  for (const char* text : kForms) {
    const UniformFit fit(parse(text), m.view());
    for (const float w : {NAN, INFINITY, -INFINITY, 3e38f}) {
      EXPECT_LT(fit.code(w, {0.01f, 0}), 16) << text;
    }
  }
}

TEST(UniformFit, TheFormIsWhatWasPut) {
  const Matrix m = noise({37, 20}, 5);
  for (const char* text :
       {"uniform(3, group=6)", "uniform(3, group=6) > rans", "uniform(3, group=6, zero=true)",
        "uniform(3, group=6, scales=uniform(4, group=2))"}) {
    UniformFit fit(parse(text), m.view());
    EXPECT_EQ(fit.groups(), (Shape{37, 4}));
    EXPECT_EQ(fit.group_length(), 6u);
    Matrix scales = noise({37, 4}, 6), zeros = noise({37, 4}, 7);
    for (float& v : scales.values) v = float_from_f16(f16_from_float(v));
    for (float& v : zeros.values) v = float_from_f16(f16_from_float(v));
    fit.set_scales(scales, zeros);
    Bytes codes(37 * 20);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 5 % 8);
    fit.put(32, 5, codes.data() + 32 * 20);
    fit.put(0, 32, codes.data());
    Matrix wanted(m.shape);
    for (uint64_t r = 0; r < 37; ++r) {
      for (uint64_t c = 0; c < 20; ++c) {
        wanted.row(r)[c] =
            fit.value(codes[r * 20 + c], {scales.row(r)[c / 6], zeros.row(r)[c / 6]});
      }
    }
    const FormPtr form = fit.form();
    EXPECT_EQ(decode(*form).values, wanted.values) << text;
    EXPECT_EQ(form->expression(), parse(text));
  }
}

TEST(UniformFit, RefusesWhatIsNoUniformForm) {
  const Matrix m = noise({2, 20}, 5);
  for (const char* text : {"dense(f16)", "uniform(3) + uniform(2)", "$x", "uniform(9)",
                           "uniform(3) > zip", "dense(f16) > rans"}) {
    EXPECT_THROW(UniformFit(parse(text), m.view()), Error) << text;
  }
}

}  // namespace
}  // namespace pith::form
