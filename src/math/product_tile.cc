#include "product_tile.h"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/math/product_tile.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::math::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Tag = hn::CappedTag<T, 64 / sizeof(T)>;

// Rows of sums at a time, of two vectors each: as many as there are registers for.
#if HWY_MAX_BYTES == 64
constexpr size_t kRows = kTileRows;
#else
constexpr size_t kRows = kTileRows / 2;
#endif

// Indices are constants, so that sums are registers and no array.
template <class T, size_t... kRow>
HWY_INLINE void sum_rows(const T* HWY_RESTRICT a, const T* HWY_RESTRICT b, size_t steps,
                         T* HWY_RESTRICT c, size_t stride, ProductInto into,
                         std::index_sequence<kRow...>) {
  using D = Tag<T>;
  const D d;
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> left[kRows] = {((void)kRow, hn::Zero(d))...},
             right[kRows] = {((void)kRow, hn::Zero(d))...};
  for (size_t t = 0; t < steps; ++t, a += kTileRows, b += kTileCols<T>) {
    const auto b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
    // Products and sums are rounded one by one, as not every instruction set has fused ones.
    ((left[kRow] = hn::Add(left[kRow], hn::Mul(hn::Set(d, a[kRow]), b0)),
      right[kRow] = hn::Add(right[kRow], hn::Mul(hn::Set(d, a[kRow]), b1))),
     ...);
  }
  if (into == ProductInto::kAdd) {
    ((left[kRow] = hn::Add(hn::LoadU(d, c + kRow * stride), left[kRow]),
      right[kRow] = hn::Add(hn::LoadU(d, c + kRow * stride + lanes), right[kRow])),
     ...);
  } else if (into == ProductInto::kSubtract) {
    ((left[kRow] = hn::Sub(hn::LoadU(d, c + kRow * stride), left[kRow]),
      right[kRow] = hn::Sub(hn::LoadU(d, c + kRow * stride + lanes), right[kRow])),
     ...);
  }
  ((hn::StoreU(left[kRow], d, c + kRow * stride),
    hn::StoreU(right[kRow], d, c + kRow * stride + lanes)),
   ...);
}

template <class T>
HWY_INLINE void tile(const T* a, const T* b, size_t steps, T* c, size_t stride, ProductInto into) {
  const size_t columns = 2 * hn::Lanes(Tag<T>());
  for (size_t i = 0; i < kTileRows; i += kRows) {
    for (size_t j = 0; j < kTileCols<T>; j += columns) {
      sum_rows(a + i, b + j, steps, c + i * stride + j, stride, into,
               std::make_index_sequence<kRows>());
    }
  }
}

void float_tile(const float* a, const float* b, size_t steps, float* c, size_t stride,
                ProductInto into) {
  tile(a, b, steps, c, stride, into);
}

void double_tile(const double* a, const double* b, size_t steps, double* c, size_t stride,
                 ProductInto into) {
  tile(a, b, steps, c, stride, into);
}

}  // namespace pith::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::math {

HWY_EXPORT(float_tile);
HWY_EXPORT(double_tile);

void product_tile(const float* a, const float* b, size_t steps, float* c, size_t stride,
                  ProductInto into) {
  HWY_DYNAMIC_DISPATCH(float_tile)(a, b, steps, c, stride, into);
}

void product_tile(const double* a, const double* b, size_t steps, double* c, size_t stride,
                  ProductInto into) {
  HWY_DYNAMIC_DISPATCH(double_tile)(a, b, steps, c, stride, into);
}

}  // namespace pith::math
#endif
