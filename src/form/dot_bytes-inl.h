// Dot products of bytes in vector registers.
#if defined(PITH_FORM_DOT_BYTES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PITH_FORM_DOT_BYTES_INL
#undef PITH_FORM_DOT_BYTES_INL
#else
#define PITH_FORM_DOT_BYTES_INL
#endif

#include <hwy/highway.h>

#include "panel_vectors-inl.h"

// Highway's flags of this target leave the dot products of bytes out, though it is only chosen on
// processors that have them.
#if HWY_TARGET == HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// sum + the products of four bytes, unsigned times signed, in each lane of 32 bits; exact.
// kByte: whether `a` may be above 127.
template <bool kByte>
HWY_INLINE VI dot4(VI sum, V8 a, VI x) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpbusd_epi32(sum.raw, a.raw, x.raw)};
#elif HWY_TARGET == HWY_AVX2
  const __m256i one = _mm256_set1_epi16(1);
  if constexpr (kByte) {
    // Products of pairs with a whole byte would not fit 16 bits: the highest bit goes by itself.
    const __m256i top = _mm256_and_si256(a.raw, _mm256_set1_epi8(-128));
    const __m256i low = _mm256_andnot_si256(_mm256_set1_epi8(-128), a.raw);
    const __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(low, x.raw), one);
    const __m256i q = _mm256_madd_epi16(_mm256_maddubs_epi16(top, x.raw), one);
    return VI{_mm256_add_epi32(sum.raw, _mm256_add_epi32(p, q))};
  } else {
    const __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(a.raw, x.raw), one);
    return VI{_mm256_add_epi32(sum.raw, p)};
  }
#else
  const DI di;
  const DS16 ds;
  // A byte times a signed byte fits 16 bits.
  const auto pairs = [&](hn::Vec<DS16> p) {
    const VI v = hn::BitCast(di, p);
    return hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(v)), hn::ShiftRight<16>(v));
  };
  const D16 du;
  const auto codes = hn::BitCast(du, a);
  const auto even = hn::BitCast(ds, hn::And(codes, hn::Set(du, 0xFF)));
  const auto odd = hn::BitCast(ds, hn::ShiftRight<8>(codes));
  const auto values = hn::BitCast(ds, x);
  const auto x_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(values));
  const auto x_odd = hn::ShiftRight<8>(values);
  return hn::Add(sum, hn::Add(pairs(hn::Mul(even, x_even)), pairs(hn::Mul(odd, x_odd))));
#endif
}

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
