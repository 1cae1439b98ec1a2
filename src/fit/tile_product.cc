#include "tile_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/fit/tile_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::fit::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;

// Products and sums are rounded one by one, as not every instruction set has fused ones.
HWY_INLINE VF added(VF sum, VF a, VF b) { return hn::Add(sum, hn::Mul(a, b)); }

// Four rows of sums by two vectors at a time: eight sums and their factors fit every set's
// registers.
void product(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t steps,
             float* HWY_RESTRICT sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < kTile; j += 2 * lanes) {
    for (size_t i = 0; i < kTile; i += 4) {
      VF s00 = hn::Zero(df), s01 = s00, s10 = s00, s11 = s00;
      VF s20 = s00, s21 = s00, s30 = s00, s31 = s00;
      const float *left = a + i, *right = b + j;
      for (size_t t = 0; t < steps; ++t, left += kTile, right += kTile) {
        const VF b0 = hn::LoadU(df, right), b1 = hn::LoadU(df, right + lanes);
        const VF a0 = hn::Set(df, left[0]), a1 = hn::Set(df, left[1]);
        const VF a2 = hn::Set(df, left[2]), a3 = hn::Set(df, left[3]);
        s00 = added(s00, a0, b0);
        s01 = added(s01, a0, b1);
        s10 = added(s10, a1, b0);
        s11 = added(s11, a1, b1);
        s20 = added(s20, a2, b0);
        s21 = added(s21, a2, b1);
        s30 = added(s30, a3, b0);
        s31 = added(s31, a3, b1);
      }
      float* to = sums + i * kTile + j;
      hn::StoreU(s00, df, to);
      hn::StoreU(s01, df, to + lanes);
      hn::StoreU(s10, df, to + kTile);
      hn::StoreU(s11, df, to + kTile + lanes);
      hn::StoreU(s20, df, to + 2 * kTile);
      hn::StoreU(s21, df, to + 2 * kTile + lanes);
      hn::StoreU(s30, df, to + 3 * kTile);
      hn::StoreU(s31, df, to + 3 * kTile + lanes);
    }
  }
}

void multiples(const float* HWY_RESTRICT factors, size_t stride, const float* HWY_RESTRICT b,
               size_t steps, float* HWY_RESTRICT to) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < kTile; j += 4 * lanes) {
    VF s0 = hn::LoadU(df, to + j), s1 = hn::LoadU(df, to + j + lanes);
    VF s2 = hn::LoadU(df, to + j + 2 * lanes), s3 = hn::LoadU(df, to + j + 3 * lanes);
    for (size_t t = 0; t < steps; ++t) {
      const VF factor = hn::Set(df, factors[t * stride]);
      const float* from = b + t * kTile + j;
      s0 = added(s0, factor, hn::LoadU(df, from));
      s1 = added(s1, factor, hn::LoadU(df, from + lanes));
      s2 = added(s2, factor, hn::LoadU(df, from + 2 * lanes));
      s3 = added(s3, factor, hn::LoadU(df, from + 3 * lanes));
    }
    hn::StoreU(s0, df, to + j);
    hn::StoreU(s1, df, to + j + lanes);
    hn::StoreU(s2, df, to + j + 2 * lanes);
    hn::StoreU(s3, df, to + j + 3 * lanes);
  }
}

}  // namespace pith::fit::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::fit {

HWY_EXPORT(product);
HWY_EXPORT(multiples);

void tile_product(const float* a, const float* b, size_t steps, float* sums) {
  HWY_DYNAMIC_DISPATCH(product)(a, b, steps, sums);
}

void add_multiples(const float* factors, size_t stride, const float* b, size_t steps, float* to) {
  HWY_DYNAMIC_DISPATCH(multiples)(factors, stride, b, steps, to);
}

}  // namespace pith::fit
#endif
