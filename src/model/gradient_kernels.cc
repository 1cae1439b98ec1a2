#include "gradient_kernels.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/model/gradient_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "pith/math/vector_exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::model::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using math::HWY_NAMESPACE::vector_exp;

template <class D>
HWY_INLINE void silu_step(D d, const float* dy, float* gate, float* up) {
  const auto one = hn::Set(d, 1.0F);
  const auto g = hn::LoadU(d, gate), u = hn::LoadU(d, up), y = hn::LoadU(d, dy);
  const auto sigmoid = hn::Div(one, hn::Add(one, vector_exp(d, hn::Neg(g))));
  const auto slope = hn::Mul(sigmoid, hn::MulAdd(g, hn::Sub(one, sigmoid), one));
  hn::StoreU(hn::Mul(hn::Mul(y, u), slope), d, gate);
  hn::StoreU(hn::Mul(y, hn::Mul(g, sigmoid)), d, up);
}

void silu_kernel(const float* dy, uint64_t n, float* gate, float* up) {
  const hn::CappedTag<float, 16> d;
  const size_t lanes = hn::Lanes(d);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes) silu_step(d, dy + i, gate + i, up + i);
  for (; i < n; ++i) silu_step(hn::CappedTag<float, 1>(), dy + i, gate + i, up + i);
}

}  // namespace pith::model::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::model {

HWY_EXPORT(silu_kernel);

void silu_times_gradient(const float* dy, uint64_t n, float* gate, float* up) {
  HWY_DYNAMIC_DISPATCH(silu_kernel)(dy, n, gate, up);
}

double dot(const float* a, const float* b, uint64_t n) {
  double even = 0, odd = 0;
  uint64_t i = 0;
  for (; i + 2 <= n; i += 2) {
    even += double{a[i]} * b[i];
    odd += double{a[i + 1]} * b[i + 1];
  }
  if (i < n) even += double{a[i]} * b[i];
  return even + odd;
}

void rms_norm_gradient(const float* x, const float* weight, const float* dy, uint64_t n, float eps,
                       float* to) {
  if (n == 0) return;
  const double mean = dot(x, x, n) / static_cast<double>(n) + eps, scale = 1 / std::sqrt(mean);
  double along = 0;  // of the gradient at the direction of x, in which the norm does not change it
  for (uint64_t i = 0; i < n; ++i) along += double{weight[i]} * dy[i] * x[i];
  const auto plain = static_cast<float>(scale);
  const auto less = static_cast<float>(along * scale / mean / static_cast<double>(n));
  for (uint64_t i = 0; i < n; ++i) to[i] = weight[i] * dy[i] * plain - x[i] * less;
}

void softmax_gradient(const float* p, uint64_t n, float* dp) {
  const auto mean = static_cast<float>(dot(p, dp, n));
  for (uint64_t i = 0; i < n; ++i) dp[i] = p[i] * (dp[i] - mean);
}

}  // namespace pith::model
#endif
