#include "product_tile.h"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/math/product_tile.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::math::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;

// Rows of sums at a time, of two vectors each: as many as there are registers for.
#if HWY_MAX_BYTES == 64
constexpr size_t kRows = kTileRows;
#else
constexpr size_t kRows = kTileRows / 2;
#endif

// Indices are constants, so that sums are registers and no array.
template <size_t... kRow>
HWY_INLINE void sum_rows(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t steps,
                         float* HWY_RESTRICT c, size_t stride, bool add,
                         std::index_sequence<kRow...>) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF left[kRows] = {((void)kRow, hn::Zero(df))...}, right[kRows] = {((void)kRow, hn::Zero(df))...};
  for (size_t t = 0; t < steps; ++t, a += kTileRows, b += kTileCols) {
    const VF b0 = hn::LoadU(df, b), b1 = hn::LoadU(df, b + lanes);
    // Products and sums are rounded one by one, as not every instruction set has fused ones.
    ((left[kRow] = hn::Add(left[kRow], hn::Mul(hn::Set(df, a[kRow]), b0)),
      right[kRow] = hn::Add(right[kRow], hn::Mul(hn::Set(df, a[kRow]), b1))),
     ...);
  }
  if (add) {
    ((left[kRow] = hn::Add(hn::LoadU(df, c + kRow * stride), left[kRow]),
      right[kRow] = hn::Add(hn::LoadU(df, c + kRow * stride + lanes), right[kRow])),
     ...);
  }
  ((hn::StoreU(left[kRow], df, c + kRow * stride),
    hn::StoreU(right[kRow], df, c + kRow * stride + lanes)),
   ...);
}

void tile(const float* a, const float* b, size_t steps, float* c, size_t stride, bool add) {
  const size_t columns = 2 * hn::Lanes(DF());
  for (size_t i = 0; i < kTileRows; i += kRows) {
    for (size_t j = 0; j < kTileCols; j += columns) {
      sum_rows(a + i, b + j, steps, c + i * stride + j, stride, add,
               std::make_index_sequence<kRows>());
    }
  }
}

}  // namespace pith::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::math {

HWY_EXPORT(tile);

void product_tile(const float* a, const float* b, size_t steps, float* c, size_t stride, bool add) {
  HWY_DYNAMIC_DISPATCH(tile)(a, b, steps, c, stride, add);
}

}  // namespace pith::math
#endif
