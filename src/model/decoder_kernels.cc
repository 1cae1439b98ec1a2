#include "decoder_kernels.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/model/decoder_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "pith/math/vector_exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::model::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using math::HWY_NAMESPACE::vector_exp;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// to[i] = f(a[i], b[i]), whole vectors first.
template <class F>
HWY_INLINE void map(const float* a, const float* b, uint64_t n, float* to, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, to + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < n; ++i) {
    hn::StoreU(f(one, hn::LoadU(one, a + i), hn::LoadU(one, b + i)), one, to + i);
  }
}

float sum_of_squares(const float* x, uint64_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V even = hn::Zero(d), odd = hn::Zero(d);
  uint64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const V a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + lanes);
    even = hn::MulAdd(a, a, even);
    odd = hn::MulAdd(b, b, odd);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

void rms_norm_kernel(const float* x, const float* weight, uint64_t n, float eps, float* out) {
  if (n == 0) return;
  const float scale = 1.0F / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + eps);
  map(x, weight, n, out,
      [scale](auto d, auto a, auto w) { return hn::Mul(hn::Mul(a, hn::Set(d, scale)), w); });
}

void add_kernel(const float* x, float scale, uint64_t n, float* to) {
  if (scale == 1) return map(to, x, n, to, [](auto, auto a, auto b) { return hn::Add(a, b); });
  map(to, x, n, to,
      [scale](auto d, auto a, auto b) { return hn::MulAdd(b, hn::Set(d, scale), a); });
}

void silu_times_kernel(const float* up, uint64_t n, float* gate) {
  map(gate, up, n, gate, [](auto d, auto g, auto u) {
    const auto e = vector_exp(d, hn::Neg(g));
    return hn::Mul(hn::Div(g, hn::Add(hn::Set(d, 1.0F), e)), u);
  });
}

void softmax_kernel(uint64_t n, float* x) {
  if (n == 0) return;
  float most = x[0];
  for (uint64_t i = 1; i < n; ++i) most = x[i] > most ? x[i] : most;
  map(x, x, n, x,
      [most](auto d, auto a, auto) { return vector_exp(d, hn::Sub(a, hn::Set(d, most))); });
  float sum = 0;
  for (uint64_t i = 0; i < n; ++i) sum += x[i];
  const float inverse = 1.0F / sum;
  map(x, x, n, x, [inverse](auto d, auto a, auto) { return hn::Mul(a, hn::Set(d, inverse)); });
}

template <class TD>
HWY_INLINE void rotate_halves(TD d, const Rotation& r, uint64_t i, float* head) {
  const auto scale = hn::Set(d, r.scale);
  const auto c = hn::Mul(hn::LoadU(d, r.cosines + i), scale);
  const auto s = hn::Mul(hn::LoadU(d, r.sines + i), scale);
  const auto a = hn::LoadU(d, head + i), b = hn::LoadU(d, head + i + r.pairs);
  hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, head + i);
  hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, head + i + r.pairs);
}

HWY_INLINE void rotate_pairs(D d, const Rotation& r, uint64_t i, float* head) {
  const V scale = hn::Set(d, r.scale);
  const V c = hn::Mul(hn::LoadU(d, r.cosines + i), scale);
  const V s = hn::Mul(hn::LoadU(d, r.sines + i), scale);
  V a, b;
  hn::LoadInterleaved2(d, head + 2 * i, a, b);
  hn::StoreInterleaved2(hn::NegMulAdd(b, s, hn::Mul(a, c)), hn::MulAdd(a, s, hn::Mul(b, c)), d,
                        head + 2 * i);
}

HWY_INLINE void rotate_pair(const Rotation& r, uint64_t i, float* head) {
  const float c = r.cosines[i] * r.scale, s = r.sines[i] * r.scale;
  const float a = head[2 * i], b = head[2 * i + 1];
  head[2 * i] = a * c - b * s;
  head[2 * i + 1] = a * s + b * c;
}

void rotate_kernel(const Rotation& r, float* heads) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  for (uint64_t h = 0; h < r.heads; ++h) {
    float* head = heads + h * r.head_size;
    uint64_t i = 0;
    if (r.layout == RopeLayout::kHalves) {
      for (; i + lanes <= r.pairs; i += lanes) rotate_halves(d, r, i, head);
      for (; i < r.pairs; ++i) rotate_halves(hn::CappedTag<float, 1>(), r, i, head);
    } else {
      for (; i + lanes <= r.pairs; i += lanes) rotate_pairs(d, r, i, head);
      for (; i < r.pairs; ++i) rotate_pair(r, i, head);
    }
    for (uint64_t k = 2 * r.pairs; k < r.head_size; ++k) head[k] *= r.scale;
  }
}

}  // namespace pith::model::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::model {

HWY_EXPORT(rms_norm_kernel);
HWY_EXPORT(add_kernel);
HWY_EXPORT(silu_times_kernel);
HWY_EXPORT(softmax_kernel);
HWY_EXPORT(rotate_kernel);

void rms_norm(const float* x, const float* weight, uint64_t n, float eps, float* out) {
  HWY_DYNAMIC_DISPATCH(rms_norm_kernel)(x, weight, n, eps, out);
}
void add(const float* x, uint64_t n, float* to) { HWY_DYNAMIC_DISPATCH(add_kernel)(x, 1, n, to); }
void add_scaled(const float* x, float scale, uint64_t n, float* to) {
  HWY_DYNAMIC_DISPATCH(add_kernel)(x, scale, n, to);
}
void silu_times(const float* up, uint64_t n, float* gate) {
  HWY_DYNAMIC_DISPATCH(silu_times_kernel)(up, n, gate);
}
void softmax(uint64_t n, float* x) { HWY_DYNAMIC_DISPATCH(softmax_kernel)(n, x); }
void rotate(const Rotation& rotation, float* heads) {
  HWY_DYNAMIC_DISPATCH(rotate_kernel)(rotation, heads);
}

}  // namespace pith::model
#endif
