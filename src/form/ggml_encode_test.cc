// What is put into blocks comes out again with the error that it should have.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "ggml.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

struct Quality {
  DType type;
  double gaussian;  // squared error over squared size that a normal variable may have
};

constexpr Quality kQualities[] = {
    {DType::kQ4_0, 6.7e-3},   {DType::kQ4_1, 5.0e-3},  {DType::kQ5_0, 1.65e-3},
    {DType::kQ5_1, 1.2e-3},   {DType::kQ8_0, 2.6e-5},  {DType::kQ2_K, 7.0e-2},
    {DType::kQ3_K, 2.12e-2},  {DType::kQ4_K, 5.1e-3},  {DType::kQ5_K, 1.26e-3},
    {DType::kQ6_K, 2.95e-4},  {DType::kQ8_K, 5.5e-5},  {DType::kIQ4_NL, 5.6e-3},
    {DType::kIQ4_XS, 5.7e-3}, {DType::kMXFP4, 1.3e-2}, {DType::kTQ1_0, 0.196},
    {DType::kTQ2_0, 0.196},  // Lloyd and Max: 0.1902
};

Expression ggml(DType type) {
  return Expression::call("ggml", {{"", Value(Expression::call(std::string(info(type).name)))}});
}

class GgmlEncode : public testing::TestWithParam<Quality> {
 public:
  static DType type() { return GetParam().type; }
  static bool has_zero() { return type() != DType::kIQ4_NL && type() != DType::kIQ4_XS; }
  static Matrix around(const Matrix& m) { return decode(*encode(ggml(type()), m.view())); }
};

TEST_P(GgmlEncode, LosesLittleOfNormalVariables) {
  const Matrix m = noise({32, 1024}, 1);
  const FormPtr form = encode(ggml(type()), m.view());
  EXPECT_EQ(form->expression(), ggml(type()));
  EXPECT_LT(squared_error(decode(*form), m), GetParam().gaussian);
  EXPECT_NEAR(static_cast<double>(bits(*form)) / static_cast<double>(m.values.size()),
              8.0 * pith::info(type()).block_bytes / pith::info(type()).block_elements, 0.05);
}

TEST_P(GgmlEncode, ScalesWithTheWeights) {
  // Powers of two, with which f16 holds the scales as well.
  const Matrix m = noise({4, 512}, 2);
  const double once = squared_error(around(m), m);
  for (const float factor : {0.25f, 8.0f, 0x1p10f}) {
    Matrix scaled = m;
    for (float& v : scaled.values) v *= factor;
    EXPECT_NEAR(squared_error(around(scaled), scaled), once, 0.03 * once) << factor;
  }
}

TEST_P(GgmlEncode, RowsDoNotDependOnEachOther) {
  const Matrix m = noise({3, 512}, 3);
  const Matrix all = around(m);
  for (uint64_t r = 0; r < 3; ++r) {
    const FormPtr one = encode(ggml(type()), {m.view().row(r).data(), {1, 512}});
    EXPECT_TRUE(std::ranges::equal(decode(*one).values, all.view().row(r)));
  }
}

TEST_P(GgmlEncode, OddBlocksStayFiniteAndNear) {
  const double near = has_zero() ? 1e-4 : 3e-3;
  const auto check = [&](const char* what, const std::function<float(size_t)>& f, double most) {
    Matrix m({2, 512});
    for (size_t i = 0; i < m.values.size(); ++i) m.values[i] = f(i);
    const Matrix got = around(m);
    for (const float v : got.values) ASSERT_TRUE(std::isfinite(v)) << what;
    EXPECT_LE(squared_error(got, m), most) << what;
  };
  check(
      "zeros", [](size_t) { return 0.0f; }, 0);
  check(
      "ones", [](size_t) { return 1.0f; }, 1e-4);
  check(
      "minus ones", [](size_t) { return -1.0f; }, 1e-4);
  check(
      "one of 32", [](size_t i) { return i % 32 == 5 ? -0.25f : 0.0f; }, near);
  check(
      "two values", [](size_t i) { return i % 3 == 0 ? -0.5f : 0.5f; }, near);
  check(
      "subnormal", [](size_t i) { return i % 2 ? 1e-45f : -1e-42f; }, 1);
  check(
      "too large", [](size_t i) { return i % 2 ? 3e38f : -3e38f; }, 1);
  check(
      "large and small", [](size_t i) { return i % 32 ? 1e-30f : 1e30f; }, 1);
  check(
      "negative zeros", [](size_t) { return -0.0f; }, 0);
}

TEST_P(GgmlEncode, TernaryWeightsAreExact) {
  std::mt19937 random(4);
  Matrix m({2, 512});
  for (float& v : m.values) v = 0.0625f * (static_cast<float>(random() % 3) - 1);
  EXPECT_LT(squared_error(around(m), m), has_zero() ? 1e-5 : 3e-3);
  if (type() == DType::kTQ1_0 || type() == DType::kTQ2_0 || type() == DType::kMXFP4) {
    EXPECT_EQ(around(m).values, m.values);
  }
}

TEST_P(GgmlEncode, RefusesRowsThatAreNotBlocksAndWhatIsNotFinite) {
  const auto refusal = [&](const Matrix& m, ErrorKind kind) -> std::string {
    try {
      encode(ggml(type()), m.view());
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind);
      return e.what();
    }
    return "";
  };
  const uint32_t n = pith::info(type()).block_elements;
  EXPECT_NE(refusal(Matrix({2, n + 1}), ErrorKind::kUsage)
                .find(fmt::format("rows of {} elements are not whole blocks", n + 1)),
            std::string::npos);
  Matrix m({2, n});
  m.values[n + 3] = NAN;
  EXPECT_EQ(refusal(m, ErrorKind::kData), "ggml cannot hold nan (row 1, column 3)");
  m.values[n + 3] = -INFINITY;
  EXPECT_EQ(refusal(m, ErrorKind::kData), "ggml cannot hold -inf (row 1, column 3)");
  EXPECT_EQ(encode(ggml(type()), Matrix({0, n}).view())->shape().rows, 0u);
  EXPECT_EQ(encode(ggml(type()), Matrix({3, 0}).view())->shape().cols, 0u);
}

INSTANTIATE_TEST_SUITE_P(Types, GgmlEncode, testing::ValuesIn(kQualities), [](const auto& param) {
  return std::string(pith::info(param.param.type).name);
});

TEST(GgmlEncode, RefusesTypesThatAreNoBlocks) {
  const Matrix m({1, 256});
  for (const char* type : {"f16", "iq1_s", "q9_9"}) {
    EXPECT_THROW(encode(parse(fmt::format("ggml({})", type)), m.view()), Error) << type;
  }
  EXPECT_THROW(encode(parse("ggml"), m.view()), Error);
  EXPECT_THROW(encode(parse("ggml(q4_0, 3)"), m.view()), Error);
}

RC_GTEST_PROP(GgmlEncodeProperty, BlocksOfAnyFloatsAreDecodedToFiniteOnes, ()) {
  const Quality q =
      *rc::gen::elementOf(std::vector<Quality>(std::begin(kQualities), std::end(kQualities)));
  Matrix m({1, 256});
  const int scale = *rc::gen::inRange(-149, 128);
  for (float& v : m.values) {
    v = std::ldexp(static_cast<float>(*rc::gen::inRange(-1000, 1001)) / 1001, scale);
  }
  const Matrix got = decode(*encode(ggml(q.type), m.view()));
  for (const float v : got.values) RC_ASSERT(std::isfinite(v));
  // Never worse than zeros, but where f16 rounds scales to multiples of 2^-24.
  double least = 0, left = 0;
  for (size_t i = 0; i < 256; ++i) {
    least += std::pow(double{m.values[i]}, 2);
    left += std::pow(double{m.values[i]} - got.values[i], 2);
  }
  RC_ASSERT(left <= least * 1.0001 + 1e-9);
}

}  // namespace
}  // namespace pith::form
