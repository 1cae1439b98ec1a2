#include "spaced_fit.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/spaced_fit.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sixteen sums side by side whatever the vectors, so that all instruction sets give the same; and
// every operation is rounded, for there may be no fused ones.
constexpr size_t kLanes = 16;

float inverse_of(float scale) {
  const float inverse = 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

#if HWY_TARGET == HWY_SCALAR

float nearest(float w, SpacedLevels levels, float inverse, float zero) {
  return std::clamp(std::nearbyint((w - zero) * inverse), levels.first, levels.last);
}

void sums(const float* w, const float* importance, size_t n, SpacedLevels levels, float scale,
          float zero, LevelSums& out) {
  float parts[4][kLanes] = {};
  const float inverse = inverse_of(scale);
  for (size_t i = 0; i < n; ++i) {
    const float l = nearest(w[i], levels, inverse, zero);
    const float e = w[i] - (l * scale + zero);
    const float h = importance ? importance[i] : 1;
    parts[0][i % kLanes] += e * e * h;
    parts[1][i % kLanes] += l * h;
    parts[2][i % kLanes] += l * l * h;
    parts[3][i % kLanes] += w[i] * l * h;
  }
  for (size_t i = 0; i < kLanes; ++i) {
    out.error += parts[0][i];
    out.l += parts[1][i];
    out.ll += parts[2][i];
    out.wl += parts[3][i];
  }
}

void codes_of(const float* w, size_t n, SpacedLevels levels, float scale, float zero,
              uint8_t* codes) {
  const float inverse = inverse_of(scale);
  for (size_t i = 0; i < n; ++i) {
    codes[i] = static_cast<uint8_t>(nearest(w[i], levels, inverse, zero) - levels.first);
  }
}

#else

using DF = hn::CappedTag<float, kLanes>;
using VF = hn::Vec<DF>;

HWY_INLINE VF nearest(VF w, SpacedLevels levels, float inverse, float zero) {
  const DF df;
  const VF t = hn::Mul(hn::Sub(w, hn::Set(df, zero)), hn::Set(df, inverse));
  return hn::Min(hn::Max(hn::Round(t), hn::Set(df, levels.first)), hn::Set(df, levels.last));
}

struct Parts {
  float of[4][kLanes] = {};
};

HWY_INLINE void add_part(float* parts, VF v) {
  const DF df;
  hn::StoreU(hn::Add(hn::LoadU(df, parts), v), df, parts);
}

template <bool kWeighted>
HWY_INLINE void add_sixteen(const float* w, const float* importance, SpacedLevels levels,
                            float scale, float inverse, float zero, Parts& parts) {
  const DF df;
  const auto weighted = [&](VF term, size_t at) HWY_ATTR {
    if constexpr (kWeighted) return hn::Mul(term, hn::LoadU(df, importance + at));
    return term;
  };
  for (size_t at = 0; at < kLanes; at += hn::Lanes(df)) {
    const VF v = hn::LoadU(df, w + at);
    const VF l = nearest(v, levels, inverse, zero);
    const VF e = hn::Sub(v, hn::Add(hn::Mul(l, hn::Set(df, scale)), hn::Set(df, zero)));
    add_part(parts.of[0] + at, weighted(hn::Mul(e, e), at));
    add_part(parts.of[1] + at, weighted(l, at));
    add_part(parts.of[2] + at, weighted(hn::Mul(l, l), at));
    add_part(parts.of[3] + at, weighted(hn::Mul(v, l), at));
  }
}

template <bool kWeighted>
HWY_INLINE void sums_of(const float* w, const float* importance, size_t n, SpacedLevels levels,
                        float scale, float zero, LevelSums& out) {
  Parts parts;
  const float inverse = inverse_of(scale);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    add_sixteen<kWeighted>(w + i, importance + i, levels, scale, inverse, zero, parts);
  }
  if (i < n) {
    float last[kLanes] = {}, last_importance[kLanes] = {};
    std::copy(w + i, w + n, last);
    if (kWeighted) std::copy(importance + i, importance + n, last_importance);
    Parts rest;
    add_sixteen<kWeighted>(last, last_importance, levels, scale, inverse, zero, rest);
    for (size_t k = 0; k < 4; ++k) {
      for (size_t j = 0; j < n - i; ++j) parts.of[k][j] += rest.of[k][j];
    }
  }
  for (size_t j = 0; j < kLanes; ++j) {
    out.error += parts.of[0][j];
    out.l += parts.of[1][j];
    out.ll += parts.of[2][j];
    out.wl += parts.of[3][j];
  }
}

void sums(const float* w, const float* importance, size_t n, SpacedLevels levels, float scale,
          float zero, LevelSums& out) {
  if (importance) return sums_of<true>(w, importance, n, levels, scale, zero, out);
  sums_of<false>(w, w, n, levels, scale, zero, out);
}

void codes_of(const float* w, size_t n, SpacedLevels levels, float scale, float zero,
              uint8_t* codes) {
  const DF df;
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<uint8_t, DF> d8;
  const float inverse = inverse_of(scale);
  const auto put = [&](const float* from, uint8_t* to) HWY_ATTR {
    const VF l = nearest(hn::LoadU(df, from), levels, inverse, zero);
    const auto code = hn::ConvertTo(di, hn::Sub(l, hn::Set(df, levels.first)));
    hn::StoreU(hn::DemoteTo(d8, code), d8, to);
  };
  size_t i = 0;
  for (; i + hn::Lanes(df) <= n; i += hn::Lanes(df)) put(w + i, codes + i);
  if (i < n) {
    float last[kLanes] = {};
    uint8_t to[kLanes];
    std::copy(w + i, w + n, last);
    put(last, to);
    std::copy_n(to, n - i, codes + i);
  }
}

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(sums);
HWY_EXPORT(codes_of);

LevelSums spaced_sums(std::span<const float> w, std::span<const float> importance,
                      SpacedLevels levels, float scale, float zero) {
  LevelSums out;
  const float* h = importance.empty() ? nullptr : importance.data();
  HWY_DYNAMIC_DISPATCH(sums)(w.data(), h, w.size(), levels, scale, zero, out);
  return out;
}

void spaced_codes(std::span<const float> w, SpacedLevels levels, float scale, float zero,
                  uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(codes_of)(w.data(), w.size(), levels, scale, zero, codes);
}

}  // namespace pith::form
#endif
