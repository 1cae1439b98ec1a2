#include "tile_product.h"

#include <utility>

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

// Rows of sums at a time, of two vectors each: as many as there are registers for.
#if HWY_MAX_BYTES == 64
constexpr size_t kRows = 8;
#else
constexpr size_t kRows = 4;
#endif

// Indices are constants, so that sums are registers and no array.
template <size_t... kRow>
HWY_INLINE void sum_rows(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t steps,
                         float* HWY_RESTRICT to, std::index_sequence<kRow...>) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF left[kRows] = {((void)kRow, hn::Zero(df))...}, right[kRows] = {((void)kRow, hn::Zero(df))...};
  for (size_t t = 0; t < steps; ++t, a += kTile, b += kTile) {
    const VF b0 = hn::LoadU(df, b), b1 = hn::LoadU(df, b + lanes);
    ((left[kRow] = added(left[kRow], hn::Set(df, a[kRow]), b0),
      right[kRow] = added(right[kRow], hn::Set(df, a[kRow]), b1)),
     ...);
  }
  ((hn::StoreU(left[kRow], df, to + kRow * kTile),
    hn::StoreU(right[kRow], df, to + kRow * kTile + lanes)),
   ...);
}

void product(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t steps,
             float* HWY_RESTRICT sums) {
  const size_t columns = 2 * hn::Lanes(DF());
  for (size_t j = 0; j < kTile; j += columns) {
    for (size_t i = 0; i < kTile; i += kRows) {
      sum_rows(a + i, b + j, steps, sums + i * kTile + j, std::make_index_sequence<kRows>());
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
