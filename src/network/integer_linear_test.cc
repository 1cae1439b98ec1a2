#include "pith/network/integer_linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../form/noise_matrix.h"
#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/math/matrix_product.h"

namespace pith::network {
namespace {

std::vector<int8_t> random_codes(uint64_t n) {
  std::vector<int8_t> x(n);
  for (uint64_t i = 0; i < n; ++i) x[i] = static_cast<int8_t>(random_bits(3, i) & 0xFF);
  return x;
}

// Simulated quantization: products of doubles that hold the integers, rounded after rescaling.
std::vector<double> simulated(const IntegerLinear& layer, const form::Form& form,
                              std::span<const int8_t> x, uint64_t batch, double most) {
  const form::Matrix decoded = form::decode(form);
  const uint64_t rows = layer.shape().rows, cols = layer.shape().cols;
  std::vector<double> w(decoded.values.begin(), decoded.values.end()), v(x.begin(), x.end()),
      y(batch * rows);
  for (uint64_t i = 0; i < w.size(); ++i)
    w[i] = std::round(w[i] / layer.weights().scales[i / cols]);
  math::matrix_product(math::row_major(v.data(), batch, cols),
                       math::row_major(w.data(), rows, cols).transposed(), y.data(), rows);
  for (uint64_t i = 0; i < y.size(); ++i) {
    y[i] =
        std::clamp(std::floor(y[i] * layer.rescaling()[i % rows].value() + 0.5), -most, most - 1);
  }
  return y;
}

TEST(IntegerLinear, IsSimulatedQuantizationBitForBit) {
  const uint64_t batch = 5;
  for (const auto& [text, bits] :
       {std::pair("uniform(8, group=row)", 8), std::pair("uniform(4, group=row)", 8),
        std::pair("uniform(2, group=row)", 16)}) {
    const form::Matrix w = form::noise({130, 300}, 1);
    const form::FormPtr form = form::encode(form::parse(text), w.view());
    const IntegerLinear layer(*form, 0.01, bits == 8 ? 0.05 : 0.0002, bits);
    const std::vector<int8_t> x = random_codes(batch * 300);
    std::vector<int32_t> y(batch * 130), two(batch * 130);
    layer.apply(x, batch, y);
    layer.apply(x, batch, two, 2);
    EXPECT_EQ(y, two);
    const std::vector<double> expected = simulated(layer, *form, x, batch, bits == 8 ? 128 : 32768);
    int64_t sum = 0;
    for (uint64_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], expected[i]) << text << " " << i;
      sum += std::abs(y[i]);
    }
    EXPECT_GT(sum, 100);
    // As the form itself multiplies, to half a step of the output.
    form::Matrix inputs({batch, 300}), floats;
    for (uint64_t i = 0; i < x.size(); ++i) inputs.values[i] = static_cast<float>(0.01 * x[i]);
    form::apply(*form::encode(form::parse("dense(f32)"), form::decode(*form).view()), inputs.view(),
                floats);
    const double step = bits == 8 ? 0.05 : 0.0002, most = bits == 8 ? 127 : 32767;
    for (uint64_t i = 0; i < y.size(); ++i) {
      if (std::abs(y[i]) >= most) continue;
      EXPECT_NEAR(y[i] * step, floats.values[i], 0.51 * step + 1e-5);
    }
  }
}

TEST(IntegerLinear, RefusesWhatIsNoIntegers) {
  const form::Matrix w = form::noise({16, 64}, 1);
  const auto dense = form::encode(form::parse("dense(f32)"), w.view());
  const auto codes = form::encode(form::parse("uniform(4, group=row)"), w.view());
  EXPECT_THROW(IntegerLinear(*dense, 1, 1, 8), Error);
  EXPECT_THROW(IntegerLinear(*codes, 0, 1, 8), Error);
  EXPECT_THROW(IntegerLinear(*codes, 1, 1, 17), Error);
  std::vector<int32_t> out(16);
  EXPECT_THROW(IntegerLinear(*codes, 1, 1, 8).apply(random_codes(63), 1, out), Error);
}

}  // namespace
}  // namespace pith::network
