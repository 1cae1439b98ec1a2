// Codes of four columns and as many rows as a vector holds quarters, four rows in each 32 bits: as
// dot products over rows want them, from panels or GGML's blocks.
#if defined(PITH_FORM_CODE_CHUNKS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PITH_FORM_CODE_CHUNKS_INL
#undef PITH_FORM_CODE_CHUNKS_INL
#else
#define PITH_FORM_CODE_CHUNKS_INL
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "code_rows.h"
#include "dot_bytes-inl.h"
#include "float_product-inl.h"
#include "panel_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// The chunks of a block of all panels, [panel][vector][64].
struct Staged {
  alignas(64) std::array<uint8_t, kCodeRows / kPanelRows * kChunks * kChunk> bytes;
};

// In each 16 bytes, four rows of four columns become four columns of four rows.
HWY_INLINE V8 turned(V8 chunk) {
  alignas(16) static constexpr uint8_t kTurn[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                    2, 6, 10, 14, 3, 7, 11, 15};
  return hn::TableLookupBytes(chunk, hn::LoadDup128(D8(), kTurn));
}

// Chunk kIndex of a block of codes in planes, of which only what it needs is loaded.
template <int kBits, int kIndex>
HWY_INLINE V8 chunk_at(const uint8_t* block) {
  const D8 d8;
  constexpr int kWide = kBits & 8 ? 8 : kBits & 4 ? 4 : kBits & 2 ? 2 : 1;
  constexpr int kRest = kBits & ~kWide;
  constexpr int kNext = kRest & 2 ? 2 : kRest & 1 ? 1 : 0;
  constexpr int kLast = kRest & ~kNext;
  const auto plane = [&](int first, int width) {
    return hn::LoadU(d8, block + static_cast<uint64_t>(first + kIndex * width / 8) * kChunk);
  };
  V8 v = plane(0, kWide);
  if constexpr (kWide < 8) v = plane_part<kWide, 0, kIndex % (8 / kWide)>(v);
  if constexpr (kNext != 0) {
    v = hn::Or(v, plane_part<kNext, kWide, kIndex % (8 / kNext)>(plane(kWide, kNext)));
  }
  if constexpr (kLast != 0) {
    v = hn::Or(v,
               plane_part<kLast, kWide + kNext, kIndex % (8 / kLast)>(plane(kWide + kNext, kLast)));
  }
  return v;
}

template <int kOfCode>
struct PanelChunks {
  static constexpr int kBits = kOfCode;
  static constexpr bool kByte = kBits == 8;
  const std::array<const uint8_t*, kCodeRows / kPanelRows>* panels = nullptr;
  uint64_t offset = 0;

  void stage(const CodeRows&, uint64_t, uint64_t, Staged&) {}
  void go_to(uint64_t block) { offset = block * kChunk * static_cast<uint64_t>(kBits); }
  // Of a group and all rows.
  void scales(const CodeRows& rows, uint64_t groups, uint64_t group, float* out) const {
    const float* from = rows.scales + group * kPanelRows;
    for (uint64_t p = 0; p < panels_of(rows.rows); ++p)
      std::copy_n(from + p * groups * kPanelRows, kPanelRows, out + p * kPanelRows);
  }
  template <int kFirst, int kCount>
  HWY_INLINE void load(uint64_t panel, size_t part, V8* out) const {
    const uint8_t* block = (*panels)[panel] + offset + part;
    out[0] = turned(chunk_at<kBits, kFirst>(block));
    out[1] = turned(chunk_at<kBits, kFirst + 1>(block));
    if constexpr (kCount == 4) {
      out[2] = turned(chunk_at<kBits, kFirst + 2>(block));
      out[3] = turned(chunk_at<kBits, kFirst + 3>(block));
    }
  }
};

// Sixteen bytes of as many rows as a vector has room for, every fourth.
template <class D>
HWY_INLINE hn::Vec<D> load_rows(D d, const uint8_t* const* rows) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::LoadU(d, rows[0]);
  } else {
    const hn::Half<D> half;
    constexpr size_t kUpper = hn::MaxLanes(D()) / 8;
    return hn::Combine(d, load_rows(half, rows + kUpper), load_rows(half, rows));
  }
}

// 16 columns of sixteen rows, as four vectors of four columns: [vector][64].
HWY_INLINE void interleave(const uint8_t* const* rows, V8 flip, uint8_t* out) {
  const D8 d8;
  const D16 d16;
  for (size_t part = 0; part < kChunk; part += hn::Lanes(d8)) {
    const uint8_t* const* from = rows + part / 4;
    const V8 a = load_rows(d8, from), b = load_rows(d8, from + 1), c = load_rows(d8, from + 2),
             d = load_rows(d8, from + 3);
    const auto low_ab = hn::BitCast(d16, hn::InterleaveLower(d8, a, b)),
               low_cd = hn::BitCast(d16, hn::InterleaveLower(d8, c, d)),
               high_ab = hn::BitCast(d16, hn::InterleaveUpper(d8, a, b)),
               high_cd = hn::BitCast(d16, hn::InterleaveUpper(d8, c, d));
    const auto store = [&](auto v, size_t k) {
      hn::Store(hn::Xor(hn::BitCast(d8, v), flip), d8, out + k * kChunk + part);
    };
    store(hn::InterleaveLower(d16, low_ab, low_cd), 0);
    store(hn::InterleaveUpper(d16, low_ab, low_cd), 1);
    store(hn::InterleaveLower(d16, high_ab, high_cd), 2);
    store(hn::InterleaveUpper(d16, high_ab, high_cd), 3);
  }
}

// GGML's blocks: put in order a block of all rows at a time.
template <int kOfCode>
struct BlockChunks {
  static constexpr int kBits = kOfCode;
  static constexpr bool kByte = kBits == 8;
  static constexpr uint64_t kBytes = 2 + 4 * kBits;
  const uint8_t* staged = nullptr;
  alignas(64) std::array<uint16_t, kCodeRows + 32> halves{};

  void stage(const CodeRows& rows, uint64_t begin, uint64_t count, Staged& to) {
    static constexpr std::array<uint8_t, kBytes> kNone{};
    const V8 flip = hn::Set(D8(), kBits == 8 ? 0x80 : 0);
    const uint8_t* at[kPanelRows];
    for (uint64_t p = 0; p < count; ++p) {
      for (uint64_t r = 0; r < kPanelRows; ++r) {
        const uint64_t row = p * kPanelRows + r;
        const bool there = row < rows.rows;
        at[r] =
            there ? rows.blocks + row * rows.row_bytes + begin / kBlockCols * kBytes : kNone.data();
        std::memcpy(&halves[row], at[r], 2);
        at[r] += 2;
      }
      uint8_t* out = to.bytes.data() + p * kChunks * kChunk;
      interleave(at, flip, out);
      if constexpr (kBits == 8) {
        for (const uint8_t*& r : at) r += kPanelRows;
        interleave(at, flip, out + 4 * kChunk);
      }
    }
    staged = to.bytes.data();
  }
  void go_to(uint64_t) {}
  void scales(const CodeRows& rows, uint64_t, uint64_t, float* out) const {
    const uint64_t n = panels_of(rows.rows) * kPanelRows;
    const auto* bytes = reinterpret_cast<const uint8_t*>(halves.data());
    for (uint64_t i = 0; i < n; i += hn::Lanes(SumTag()))
      hn::Store(LoadF16::load(bytes + 2 * i), SumTag(), out + i);
  }
  template <int kFirst, int kCount>
  HWY_INLINE void load(uint64_t panel, size_t part, V8* out) const {
    const D8 d8;
    const V8 nibble = hn::Set(d8, 15);
    for (int k = 0; k < kCount; ++k) {
      const int index = kFirst + k;
      const int vector = kBits == 8 ? index : index % 4;
      const V8 v =
          hn::Load(d8, staged + (panel * kChunks + static_cast<uint64_t>(vector)) * kChunk + part);
      if constexpr (kBits == 8) {
        out[k] = v;
      } else {
        out[k] = kFirst < 4
                     ? hn::And(v, nibble)
                     : hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(D16(), v))), nibble);
      }
    }
  }
};

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
