// exp() of whole vectors, for kernels. Included once per instruction set (Highway's convention).
#if defined(PITH_MATH_VECTOR_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PITH_MATH_VECTOR_EXP_INL_H_
#undef PITH_MATH_VECTOR_EXP_INL_H_
#else
#define PITH_MATH_VECTOR_EXP_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::math::HWY_NAMESPACE {

// Within 2e-7 of exp(x), relatively; 0 below -87, e^88 above 88, NaN of NaN.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V vector_exp(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const auto low = hn::Lt(x, hn::Set(d, -87.0F));
  // Comparisons that NaN fails leave it as it is.
  x = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.0F)), hn::Set(d, 88.0F), x);
  x = hn::IfThenElse(low, hn::Zero(d), x);
  // x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, so that n times the first is exact.
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504F)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  // (e^r - 1 - r) / r^2, near-minimax.
  V p = hn::Set(d, 1.9875691500e-4F);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1F));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1F));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0F));
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenZeroElse(low, hn::Mul(p, hn::BitCast(d, power)));
}

}  // namespace pith::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
