#include "planes_kernel.h"

#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/lossless/planes_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::lossless::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
void split_scalar(const uint8_t* raw, size_t first, size_t n, bool rotate, uint8_t* const* planes) {
  for (size_t i = first; i < n; ++i) {
    T v = load_le<T>(raw + i * sizeof(T));
    if (rotate) v = std::rotl(v, 1);
    for (size_t p = 0; p < sizeof(T); ++p) {
      planes[p][i] = static_cast<uint8_t>(v >> (8 * (sizeof(T) - 1 - p)));
    }
  }
}

template <class T>
void merge_scalar(const uint8_t* const* planes, size_t first, size_t n, bool rotate, uint8_t* raw) {
  for (size_t i = first; i < n; ++i) {
    T v = 0;
    for (size_t p = 0; p < sizeof(T); ++p) {
      v = static_cast<T>(v | (T{planes[p][i]} << (8 * (sizeof(T) - 1 - p))));
    }
    if (rotate) v = std::rotr(v, 1);
    store_le(raw + i * sizeof(T), v);
  }
}

#if HWY_TARGET != HWY_SCALAR

using D8 = hn::ScalableTag<uint8_t>;
using V8 = hn::Vec<D8>;

// Bit shifts of single bytes, and the byte that crosses between neighbours when an element turns.
HWY_INLINE V8 left1(V8 high, V8 low) {
  const D8 d;
  const hn::Repartition<uint16_t, D8> d16;
  const V8 doubled = hn::Add(high, high);
  const V8 carry = hn::And(hn::BitCast(d, hn::ShiftRight<7>(hn::BitCast(d16, low))), hn::Set(d, 1));
  return hn::Or(doubled, carry);
}
HWY_INLINE V8 right1(V8 value, V8 carry_from) {
  const D8 d;
  const hn::Repartition<uint16_t, D8> d16;
  const V8 halved =
      hn::And(hn::BitCast(d, hn::ShiftRight<1>(hn::BitCast(d16, value))), hn::Set(d, 0x7F));
  const V8 carry =
      hn::And(hn::BitCast(d, hn::ShiftLeft<7>(hn::BitCast(d16, carry_from))), hn::Set(d, 0x80));
  return hn::Or(halved, carry);
}

size_t split1(const uint8_t* raw, size_t n, uint8_t* const* planes) {
  const D8 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const V8 v = hn::LoadU(d, raw + i);
    hn::StoreU(left1(v, v), d, planes[0] + i);
  }
  return i;
}

size_t merge1(const uint8_t* const* planes, size_t n, uint8_t* raw) {
  const D8 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const V8 v = hn::LoadU(d, planes[0] + i);
    hn::StoreU(right1(v, v), d, raw + i);
  }
  return i;
}

template <bool kRotate>
size_t split2(const uint8_t* raw, size_t n, uint8_t* const* planes) {
  const D8 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    V8 low, high;
    hn::LoadInterleaved2(d, raw + 2 * i, low, high);
    hn::StoreU(kRotate ? left1(high, low) : high, d, planes[0] + i);
    hn::StoreU(kRotate ? left1(low, high) : low, d, planes[1] + i);
  }
  return i;
}

template <bool kRotate>
size_t merge2(const uint8_t* const* planes, size_t n, uint8_t* raw) {
  const D8 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const V8 high = hn::LoadU(d, planes[0] + i), low = hn::LoadU(d, planes[1] + i);
    hn::StoreInterleaved2(kRotate ? right1(low, high) : low, kRotate ? right1(high, low) : high, d,
                          raw + 2 * i);
  }
  return i;
}

template <bool kRotate>
size_t split4(const uint8_t* raw, size_t n, uint8_t* const* planes) {
  const D8 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    V8 b0, b1, b2, b3;
    hn::LoadInterleaved4(d, raw + 4 * i, b0, b1, b2, b3);
    hn::StoreU(kRotate ? left1(b3, b2) : b3, d, planes[0] + i);
    hn::StoreU(kRotate ? left1(b2, b1) : b2, d, planes[1] + i);
    hn::StoreU(kRotate ? left1(b1, b0) : b1, d, planes[2] + i);
    hn::StoreU(kRotate ? left1(b0, b3) : b0, d, planes[3] + i);
  }
  return i;
}

template <bool kRotate>
size_t merge4(const uint8_t* const* planes, size_t n, uint8_t* raw) {
  const D8 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const V8 p0 = hn::LoadU(d, planes[0] + i), p1 = hn::LoadU(d, planes[1] + i);
    const V8 p2 = hn::LoadU(d, planes[2] + i), p3 = hn::LoadU(d, planes[3] + i);
    if constexpr (kRotate) {
      hn::StoreInterleaved4(right1(p3, p2), right1(p2, p1), right1(p1, p0), right1(p0, p3), d,
                            raw + 4 * i);
    } else {
      hn::StoreInterleaved4(p3, p2, p1, p0, d, raw + 4 * i);
    }
  }
  return i;
}

#else  // one lane: the scalar loops do it all

size_t split1(const uint8_t*, size_t, uint8_t* const*) { return 0; }
size_t merge1(const uint8_t* const*, size_t, uint8_t*) { return 0; }
template <bool>
size_t split2(const uint8_t*, size_t, uint8_t* const*) {
  return 0;
}
template <bool>
size_t merge2(const uint8_t* const*, size_t, uint8_t*) {
  return 0;
}
template <bool>
size_t split4(const uint8_t*, size_t, uint8_t* const*) {
  return 0;
}
template <bool>
size_t merge4(const uint8_t* const*, size_t, uint8_t*) {
  return 0;
}

#endif

void split(const uint8_t* raw, size_t n, int width, bool rotate, uint8_t* const* planes) {
  switch (width) {
    case 1:
      if (rotate) return split_scalar<uint8_t>(raw, split1(raw, n, planes), n, true, planes);
      return split_scalar<uint8_t>(raw, 0, n, false, planes);
    case 2:
      return split_scalar<uint16_t>(
          raw, rotate ? split2<true>(raw, n, planes) : split2<false>(raw, n, planes), n, rotate,
          planes);
    case 4:
      return split_scalar<uint32_t>(
          raw, rotate ? split4<true>(raw, n, planes) : split4<false>(raw, n, planes), n, rotate,
          planes);
    default:
      return split_scalar<uint64_t>(raw, 0, n, rotate, planes);
  }
}

void merge(const uint8_t* const* planes, size_t n, int width, bool rotate, uint8_t* raw) {
  switch (width) {
    case 1:
      if (rotate) return merge_scalar<uint8_t>(planes, merge1(planes, n, raw), n, true, raw);
      return merge_scalar<uint8_t>(planes, 0, n, false, raw);
    case 2:
      return merge_scalar<uint16_t>(
          planes, rotate ? merge2<true>(planes, n, raw) : merge2<false>(planes, n, raw), n, rotate,
          raw);
    case 4:
      return merge_scalar<uint32_t>(
          planes, rotate ? merge4<true>(planes, n, raw) : merge4<false>(planes, n, raw), n, rotate,
          raw);
    default:
      return merge_scalar<uint64_t>(planes, 0, n, rotate, raw);
  }
}

}  // namespace pith::lossless::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::lossless {

HWY_EXPORT(split);
HWY_EXPORT(merge);

void split_planes(ByteView raw, int width, bool rotate, uint8_t* const* planes) {
  HWY_DYNAMIC_DISPATCH(split)
  (raw.data(), raw.size() / static_cast<size_t>(width), width, rotate, planes);
}

void merge_planes(const uint8_t* const* planes, int width, bool rotate, MutableByteView raw) {
  HWY_DYNAMIC_DISPATCH(merge)
  (planes, raw.size() / static_cast<size_t>(width), width, rotate, raw.data());
}

}  // namespace pith::lossless
#endif
