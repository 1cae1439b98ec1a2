// Vector loops of nibble_rans, over the low and the high bytes of the states apart: the slot of a
// state is its low byte, renormalising moves the low byte up, and encoding puts the quotient into
// the high byte. Products and quotients go over even and odd lanes in 16 bits.
#include "nibble_rans_kernels.h"

#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/entropy/nibble_rans_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "nibble_rans_scalar.h"

#if HWY_TARGET == HWY_AVX3_DL
#include "nibble_rans_avx512-inl.h"
#elif HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SSE2 || \
    HWY_HAVE_SCALABLE
HWY_BEFORE_NAMESPACE();
namespace pith::entropy::HWY_NAMESPACE {
size_t decode_steps(const NibbleDecodeTable&, NibbleDecoder&, uint8_t*, size_t) { return 0; }
size_t encode_steps(const NibbleEncodeTable&, NibbleEncoder&, const uint8_t*, size_t n) {
  return n;
}
}  // namespace pith::entropy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#else
#include "nibble_rans_generic-inl.h"
#endif

#if HWY_ONCE
namespace pith::entropy {

HWY_EXPORT(decode_steps);
HWY_EXPORT(encode_steps);

bool nibble_decode_segment(const NibbleDecodeTable& table, NibbleDecoder& d, uint8_t* out,
                           size_t n) {
  size_t done = 0;
  if (d.lanes == kNibbleLanes) done = HWY_DYNAMIC_DISPATCH(decode_steps)(table, d, out, n);
  return done != SIZE_MAX && nibble_decode_scalar(table, d, out, done, n);
}

void nibble_encode_segment(const NibbleEncodeTable& table, NibbleEncoder& e, const uint8_t* symbols,
                           size_t n) {
  if (e.lanes != kNibbleLanes) return nibble_encode_scalar(table, e, symbols, 0, n);
  const size_t whole = n - n % kNibbleLanes;
  nibble_encode_scalar(table, e, symbols, whole, n);
  const size_t left = HWY_DYNAMIC_DISPATCH(encode_steps)(table, e, symbols, whole);
  nibble_encode_scalar(table, e, symbols, 0, left);
}

}  // namespace pith::entropy
#endif
