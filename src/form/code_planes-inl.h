// Unpacking blocks of codes.h with a width that is known when compiled: its planes become shifts
// and masks of whole vectors. Included by sources that are compiled for several instruction sets.
#if defined(PITH_FORM_CODE_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PITH_FORM_CODE_PLANES_INL_H_
#undef PITH_FORM_CODE_PLANES_INL_H_
#else
#define PITH_FORM_CODE_PLANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

template <int kBits, int kWidth, int kFirst>
HWY_INLINE const uint8_t* add_plane_of(const uint8_t* packed, uint8_t* HWY_RESTRICT codes) {
  if constexpr ((kBits & kWidth) != 0) {
    constexpr int kBytes = 8 * kWidth;
    const hwy::HWY_NAMESPACE::CappedTag<uint8_t, kBytes> d;
    const auto mask = Set(d, (1 << kWidth) - 1);
    for (size_t j = 0; j < kBytes; j += Lanes(d)) {
      auto left = LoadU(d, packed + j);
      for (size_t k = 0; k * kWidth < 8; ++k) {
        auto part = And(left, mask);
        if constexpr (kFirst != 0) {
          part = Or(ShiftLeft<kFirst>(part), LoadU(d, codes + j + k * kBytes));
        }
        StoreU(part, d, codes + j + k * kBytes);
        if constexpr (kWidth < 8) left = ShiftRight<kWidth>(left);
      }
    }
    return packed + kBytes;
  } else {
    return packed;
  }
}

// 64 codes of 1 to 8 bits.
template <int kBits>
HWY_INLINE void unpack_codes(const uint8_t* packed, uint8_t* HWY_RESTRICT codes) {
  packed = add_plane_of<kBits, 8, 0>(packed, codes);
  packed = add_plane_of<kBits, 4, 0>(packed, codes);
  packed = add_plane_of<kBits, 2, kBits & 4>(packed, codes);
  add_plane_of<kBits, 1, kBits & 6>(packed, codes);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
