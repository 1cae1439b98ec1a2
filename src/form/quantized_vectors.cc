#include "quantized_vectors.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "panel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/quantized_vectors.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr uint64_t kHalf = kBlockCols / 2;

// Returns the scale.
#if HWY_TARGET == HWY_SCALAR
float quantize_block(const float* x, int8_t* values) {
  float largest = 0, sum = 0;
  for (uint64_t i = 0; i < kBlockCols; ++i) {
    largest = std::max(largest, std::fabs(x[i]));
    sum += x[i] * 0;
  }
  const float inverse = largest > 0 ? 127 / largest : 0;
  for (uint64_t i = 0; i < kBlockCols; ++i) {
    const float q = sum == 0 && std::isfinite(inverse) ? std::nearbyint(x[i] * inverse) : 0;
    values[i] = static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f));
  }
  return sum == 0 ? largest / 127 : NAN;
}
#else
HWY_INLINE float quantize_block(const float* x, int8_t* values) {
  const hn::CappedTag<float, kHalf> df;
  const hn::Rebind<int8_t, decltype(df)> d8;
  const hn::Rebind<int32_t, decltype(df)> di;
  const size_t lanes = hn::Lanes(df);
  auto most = hn::Zero(df);
  auto sum = hn::Zero(df);  // NaN where something is not finite
  for (uint64_t i = 0; i < kBlockCols; i += lanes) {
    const auto v = hn::LoadU(df, x + i);
    most = hn::Max(most, hn::Abs(v));
    sum = hn::Add(sum, hn::Mul(v, hn::Zero(df)));
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(df, most));
  if (!(hn::GetLane(hn::SumOfLanes(df, sum)) == 0)) {
    std::fill_n(values, kBlockCols, int8_t{0});
    return NAN;
  }
  const float scale = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
  // A largest element so small that its inverse is infinite counts as zero.
  const auto times = hn::Set(df, std::isfinite(inverse) ? inverse : 0);
  for (uint64_t i = 0; i < kBlockCols; i += lanes) {
    const auto q = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), times));
    hn::StoreU(hn::DemoteTo(d8, hn::Min(hn::Max(q, hn::Set(di, -127)), hn::Set(di, 127))), d8,
               values + i);
  }
  return scale;
}
#endif

void quantize(MatrixView vectors, QuantizedVectors& out) {
  const uint64_t cols = vectors.shape.cols, batch = vectors.shape.rows;
  std::array<float, kBlockCols> last;
  for (uint64_t b = 0; b < panel_blocks(cols); ++b) {
    const uint64_t at = b * kBlockCols, n = std::min(kBlockCols, cols - at);
    for (uint64_t v = 0; v < batch; ++v) {
      const float* x = vectors.data + v * cols + at;
      if (n < kBlockCols) {
        last.fill(0);
        std::copy_n(x, n, last.begin());
        x = last.data();
      }
      const uint64_t index = b * batch + v;
      int8_t* values = out.values.data() + index * kBlockCols;
      const float scale = out.scales[index] = quantize_block(x, values);
      int32_t whole = 0;
      for (uint64_t half = 0; half < 2; ++half) {
        int32_t sum = 0;
        for (uint64_t i = 0; i < kHalf; ++i) sum += values[half * kHalf + i];
        const uint64_t place = (2 * b + half) * batch + v;
        out.half_sums.values[place] = sum;
        out.half_sums.scaled[place] = static_cast<float>(sum) * scale;
        whole += sum;
      }
      out.block_sums.values[index] = whole;
      out.block_sums.scaled[index] = static_cast<float>(whole) * scale;
    }
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(quantize);

QuantizedVectors quantize_vectors(MatrixView vectors) {
  QuantizedVectors out;
  out.batch = vectors.shape.rows;
  out.cols = vectors.shape.cols;
  const uint64_t blocks = panel_blocks(out.cols) * out.batch;
  out.values.resize(blocks * kBlockCols);
  out.scales.resize(blocks);
  out.half_sums.values.resize(2 * blocks);
  out.half_sums.scaled.resize(2 * blocks);
  out.block_sums.values.resize(blocks);
  out.block_sums.scaled.resize(blocks);
  HWY_DYNAMIC_DISPATCH(quantize)(vectors, out);
  return out;
}

Matrix QuantizedVectors::decoded() const {
  Matrix m({batch, cols});
  for (uint64_t v = 0; v < batch; ++v) {
    for (uint64_t c = 0; c < cols; ++c) {
      const uint64_t index = c / kBlockCols * batch + v;
      m.values[v * cols + c] =
          static_cast<float>(values[index * kBlockCols + c % kBlockCols]) * scales[index];
    }
  }
  return m;
}

}  // namespace pith::form
#endif
