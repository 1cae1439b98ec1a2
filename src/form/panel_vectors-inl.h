// Panels in vector registers: the codes of a block, the scales of a group.
#if defined(PITH_FORM_PANEL_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PITH_FORM_PANEL_VECTORS_INL
#undef PITH_FORM_PANEL_VECTORS_INL
#else
#define PITH_FORM_PANEL_VECTORS_INL
#endif

#include <hwy/highway.h>

#include "panel_floats.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

using D8 = hn::CappedTag<uint8_t, kChunk>;
using D16 = hn::Repartition<uint16_t, D8>;
using DI = hn::Repartition<int32_t, D8>;
using DS16 = hn::Repartition<int16_t, D8>;
using DF = hn::Repartition<float, D8>;
using V8 = hn::Vec<D8>;
using VI = hn::Vec<DI>;
using VF = hn::Vec<DF>;

// The part of a plane that belongs to chunk kPart of those it holds, at its place in the code.
template <int kWidth, int kFirst, int kPart>
HWY_INLINE V8 plane_part(V8 plane) {
  const D8 d8;
  const D16 d16;
  constexpr int kRight = kPart * kWidth - kFirst;
  const auto words = hn::BitCast(d16, plane);
  const V8 mask = hn::Set(d8, static_cast<uint8_t>(((1 << kWidth) - 1) << kFirst));
  if constexpr (kRight > 0) {
    return hn::And(hn::BitCast(d8, hn::ShiftRight<kRight>(words)), mask);
  } else if constexpr (kRight < 0) {
    return hn::And(hn::BitCast(d8, hn::ShiftLeft<-kRight>(words)), mask);
  } else {
    return hn::And(plane, mask);
  }
}

// The eight chunks of a block, of which this vector holds the rows from byte `part` on.
struct Block {
  V8 c0, c1, c2, c3, c4, c5, c6, c7;
};

// The vectors of a block's planes, each loaded once: left alone, the compiler reads them again for
// every chunk, and loads are what there are too few of.
template <int kBits>
struct Planes {
  explicit HWY_INLINE Planes(const uint8_t* block) {
    const D8 d8;
    for (int i = 0; i < kBits; ++i) {
      v[i] = hn::LoadU(d8, block + static_cast<uint64_t>(i) * kChunk);
#if HWY_TARGET == HWY_AVX3_DL
      asm("" : "+v"(v[i].raw));
#endif
    }
  }
  V8 v[kBits];
};

template <int kWidth, int kFirst, int kChunkIndex>
HWY_INLINE V8 chunk_part(const V8* plane) {
  constexpr int kEach = 8 / kWidth;
  const V8 v = plane[kChunkIndex / kEach];
  if constexpr (kWidth == 8) {
    return v;
  } else {
    return plane_part<kWidth, kFirst, kChunkIndex % kEach>(v);
  }
}

template <int kBits, int kChunkIndex>
HWY_INLINE V8 chunk_of(const Planes<kBits>& planes) {
  // Widths of the planes, widest first.
  constexpr int kWide = kBits & 8 ? 8 : kBits & 4 ? 4 : kBits & 2 ? 2 : 1;
  constexpr int kRest = kBits & ~kWide;
  constexpr int kNext = kRest & 2 ? 2 : kRest & 1 ? 1 : 0;
  constexpr int kLast = kRest & ~kNext;
  V8 v = chunk_part<kWide, 0, kChunkIndex>(planes.v);
  if constexpr (kNext != 0) {
    v = hn::Or(v, chunk_part<kNext, kWide, kChunkIndex>(planes.v + kWide));
  }
  if constexpr (kLast != 0) {
    v = hn::Or(v, chunk_part<kLast, kWide + kNext, kChunkIndex>(planes.v + kWide + kNext));
  }
  return v;
}

template <int kBits>
HWY_INLINE Block unpack_block(const uint8_t* b) {
  const Planes<kBits> p(b);
  return {chunk_of<kBits, 0>(p), chunk_of<kBits, 1>(p), chunk_of<kBits, 2>(p),
          chunk_of<kBits, 3>(p), chunk_of<kBits, 4>(p), chunk_of<kBits, 5>(p),
          chunk_of<kBits, 6>(p), chunk_of<kBits, 7>(p)};
}

// The scales or zero points of one group after the other, for the rows from `lane` on.
template <bool kBytes>
class Groups {
 public:
  HWY_INLINE Groups(const KernelScales& from, size_t lane)
      : floats_(from.floats + lane),
        bytes_(kBytes ? from.bytes + lane : nullptr),
        left_(from.begin),
        each_(from.each),
        middle_(hn::Set(DI(), from.middle)),
        mask_(hn::Set(DI(), from.mask)),
        outer_(kBytes ? hn::LoadU(DF(), floats_) : hn::Zero(DF())) {}

  HWY_INLINE VF next() {
    const DF df;
    if constexpr (kBytes) {
      const DI di;
      if (left_ == 0) {
        left_ = each_;
        floats_ += kPanelRows;
        outer_ = hn::LoadU(df, floats_);
      }
      --left_;
      const VI byte =
          hn::And(hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, DF>(), bytes_)), mask_);
      bytes_ += kPanelRows;
      return hn::Mul(hn::ConvertTo(df, hn::Sub(byte, middle_)), outer_);
    } else {
      const VF v = hn::LoadU(df, floats_);
      floats_ += kPanelRows;
      return v;
    }
  }

 private:
  const float* floats_;
  const uint8_t* bytes_;
  uint64_t left_, each_;
  VI middle_, mask_;
  VF outer_;
};

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
