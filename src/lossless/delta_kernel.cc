// The loops of delta coding on AVX-512 with VBMI2, which can spread and gather single bytes: 16-bit
// and 32-bit elements. Other machines and widths use the loops of the callers.
#include <type_traits>

#include "delta.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/lossless/delta_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3_DL
#include "src/lossless/delta_avx512-inl.h"
#else
HWY_BEFORE_NAMESPACE();
namespace pith::lossless::HWY_NAMESPACE {
bool decode_vectors(const DeltaModel&, ByteView, DeltaSource&, MutableByteView, size_t& done) {
  done = 0;
  return true;
}
size_t encode_vectors(const DeltaModel&, ByteView, ByteView, DeltaSink&) { return 0; }
}  // namespace pith::lossless::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace pith::lossless {

HWY_EXPORT(decode_vectors);
HWY_EXPORT(encode_vectors);

bool delta_decode_vectors(const DeltaModel& m, ByteView base, DeltaSource& from,
                          MutableByteView raw, size_t& done) {
  return HWY_DYNAMIC_DISPATCH(decode_vectors)(m, base, from, raw, done);
}

size_t delta_encode_vectors(const DeltaModel& m, ByteView raw, ByteView base, DeltaSink& to) {
  return HWY_DYNAMIC_DISPATCH(encode_vectors)(m, raw, base, to);
}

}  // namespace pith::lossless
#endif
