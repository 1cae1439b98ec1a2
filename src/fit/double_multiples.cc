#include "double_multiples.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/fit/double_multiples.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::fit::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DD = hn::CappedTag<double, 8>;
using VD = hn::Vec<DD>;

// Products and sums are rounded one by one, as not every instruction set has fused ones.
HWY_INLINE VD less(VD sum, VD a, VD b) { return hn::Sub(sum, hn::Mul(a, b)); }

void multiples(const double* HWY_RESTRICT rows, const double* HWY_RESTRICT factors, size_t count,
               size_t n, double* HWY_RESTRICT to) {
  const DD dd;
  const size_t lanes = hn::Lanes(dd);
  size_t j = 0;
  for (; j + 4 * lanes <= n; j += 4 * lanes) {
    VD s0 = hn::LoadU(dd, to + j), s1 = hn::LoadU(dd, to + j + lanes);
    VD s2 = hn::LoadU(dd, to + j + 2 * lanes), s3 = hn::LoadU(dd, to + j + 3 * lanes);
    for (size_t t = 0; t < count; ++t) {
      const VD factor = hn::Set(dd, factors[t]);
      const double* from = rows + t * n + j;
      s0 = less(s0, factor, hn::LoadU(dd, from));
      s1 = less(s1, factor, hn::LoadU(dd, from + lanes));
      s2 = less(s2, factor, hn::LoadU(dd, from + 2 * lanes));
      s3 = less(s3, factor, hn::LoadU(dd, from + 3 * lanes));
    }
    hn::StoreU(s0, dd, to + j);
    hn::StoreU(s1, dd, to + j + lanes);
    hn::StoreU(s2, dd, to + j + 2 * lanes);
    hn::StoreU(s3, dd, to + j + 3 * lanes);
  }
  for (; j < n; ++j) {
    double sum = to[j];
    for (size_t t = 0; t < count; ++t) sum -= factors[t] * rows[t * n + j];
    to[j] = sum;
  }
}

}  // namespace pith::fit::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::fit {

HWY_EXPORT(multiples);

void subtract_multiples(const double* rows, const double* factors, size_t count, size_t n,
                        double* to) {
  HWY_DYNAMIC_DISPATCH(multiples)(rows, factors, count, n, to);
}

}  // namespace pith::fit
#endif
