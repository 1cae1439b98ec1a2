#include "integer_kernel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/integer_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3_DL
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3_DL

// Sixteen columns or fewer at a time, one a lane.
class Groups {
 public:
  explicit Groups(const IntegerRow& row)
      : row_(row),
        even_(_mm512_loadu_si512(row.even_tables)),
        odd_(_mm512_loadu_si512(row.odd_tables)),
        low_bits_(_mm512_loadu_si512(row.low_bits)),
        in_(row.in) {}

  const uint8_t* in() const { return in_; }

  // kWidth columns are active: 16 or 8, which are stored faster, or else any.
  template <bool kTrellis, int kWidth>
  HWY_INLINE void decode(__m512i& lane, uint64_t column, __mmask16 active) {
    const __m512i x = lane;
    const __m128i k = classes(column, active);
    const __m128i state =
        kTrellis ? _mm_maskz_loadu_epi8(active, row_.states + column) : _mm_setzero_si128();
    const __mmask16 odd = kTrellis ? _mm_test_epi8_mask(state, _mm_set1_epi8(1)) : __mmask16{0};
    const __m512i b = _mm512_cvtepu8_epi32(
        _mm512_castsi512_si128(_mm512_permutexvar_epi8(_mm512_castsi128_si512(k), low_bits_)));
    const __m512i slot = _mm512_i32gather_epi32(slot_index<kTrellis>(x, b, k, odd), row_.slots, 4);
    const __m512i f =
        _mm512_add_epi32(_mm512_and_si512(slot, _mm512_set1_epi32(0xfff)), _mm512_set1_epi32(1));
    const __m512i offset = _mm512_and_si512(_mm512_srli_epi32(slot, 12), _mm512_set1_epi32(0xfff));
    const __m512i high = _mm512_srlv_epi32(x, _mm512_add_epi32(b, _mm512_set1_epi32(12)));
    const __m512i next = _mm512_add_epi32(_mm512_mullo_epi32(f, high), offset);
    const __mmask16 renew = _mm512_mask_cmplt_epu32_mask(active, next, _mm512_set1_epi32(1 << 16));
    const __m512i fresh = _mm512_maskz_expand_epi32(renew, words<false>());
    lane = _mm512_mask_mov_epi32(x, active, next);
    lane = _mm512_mask_or_epi32(lane, renew, _mm512_slli_epi32(next, 16), fresh);
    skip(renew);

    const __m512i symbol = _mm512_srai_epi32(slot, 24);
    const __m512i raw = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), b), x);
    __m512i code = _mm512_or_si512(_mm512_sllv_epi32(symbol, b), raw);
    const __mmask16 escaped = _mm512_mask_cmpeq_epi32_mask(active, symbol, _mm512_set1_epi32(-128));
    if (HWY_UNLIKELY(escaped != 0)) {
      code = _mm512_mask_expand_epi32(code, escaped, words<true>());
      skip(escaped);
    }
    if (row_.out) {
      const __m512 scale = _mm512_mul_ps(_mm512_maskz_loadu_ps(active, row_.scales + column),
                                         _mm512_set1_ps(row_.row_scale));
      const __m512 values = _mm512_mul_ps(scale, level<kTrellis>(code, odd));
      if (kWidth == 16) {
        _mm512_storeu_ps(row_.out + column, values);
      } else if (kWidth == 8) {
        _mm256_storeu_ps(row_.out + column, _mm512_castps512_ps256(values));
      } else {
        _mm512_mask_storeu_ps(row_.out + column, active, values);
      }
    }
    if (kTrellis) advance<kWidth>(column, active, state, odd, code);
  }

 private:
  HWY_INLINE __m128i classes(uint64_t column, __mmask16 active) const {
    const __m128i sum = _mm_adds_epi8(_mm_maskz_loadu_epi8(active, row_.classes + column),
                                      _mm_set1_epi8(static_cast<char>(row_.row_class)));
    return _mm_min_epi8(_mm_max_epi8(sum, _mm_setzero_si128()), _mm_set1_epi8(kLastClass));
  }

  template <bool kTrellis>
  HWY_INLINE __m512i slot_index(__m512i x, __m512i b, __m128i k, __mmask16 odd) const {
    const __m128i place = kTrellis ? _mm_mask_add_epi8(k, odd, k, _mm_set1_epi8(64)) : k;
    const __m512i table = _mm512_permutex2var_epi8(even_, _mm512_castsi128_si512(place), odd_);
    const __m512i first =
        _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(table)), 12);
    return _mm512_or_si512(first,
                           _mm512_and_si512(_mm512_srlv_epi32(x, b), _mm512_set1_epi32(0xfff)));
  }

  template <bool kSigned>
  HWY_INLINE __m512i words() const {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in_));
    return kSigned ? _mm512_cvtepi16_epi32(w) : _mm512_cvtepu16_epi32(w);
  }
  HWY_INLINE void skip(__mmask16 taken) { in_ += 2 * std::popcount(uint32_t{taken}); }

  // As integer_level() has it.
  template <bool kTrellis>
  HWY_INLINE static __m512 level(__m512i code, __mmask16 odd) {
    __m512 v = _mm512_cvtepi32_ps(code);
    if (!kTrellis) return v;
    const __m512i zero = _mm512_setzero_si512();
    const __m512 half = _mm512_set1_ps(0.5f);
    const __mmask16 above = _mm512_mask_cmpgt_epi32_mask(odd, code, zero);
    const __mmask16 below = _mm512_mask_cmplt_epi32_mask(odd, code, zero);
    v = _mm512_mask_sub_ps(v, above, v, half);
    return _mm512_mask_add_ps(v, below, v, half);
  }

  template <int kWidth>
  HWY_INLINE void advance(uint64_t column, __mmask16 active, __m128i state, __mmask16 odd,
                          __m512i code) const {
    const __mmask16 odd_code = _mm512_test_epi32_mask(code, _mm512_set1_epi32(1));
    const __m128i half = _mm_and_si128(_mm_srli_epi16(state, 1), _mm_set1_epi8(0x7f));
    const __m128i feedback = _mm_maskz_set1_epi8(odd, static_cast<char>(row_.feedback));
    const __m128i input = _mm_maskz_set1_epi8(odd_code, static_cast<char>(row_.input));
    const __m128i next = _mm_xor_si128(half, _mm_xor_si128(feedback, input));
    uint8_t* const to = row_.states + column;
    if (kWidth == 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), next);
    } else if (kWidth == 8) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), next);
    } else {
      _mm_mask_storeu_epi8(to, active, next);
    }
  }

  static constexpr char kLastClass = 47;

  const IntegerRow& row_;
  const __m512i even_, odd_, low_bits_;
  const uint8_t* in_;
};

// `kLanes` of 0 stands for fewer than 8.
template <bool kTrellis, int kLanes>
uint64_t decode_columns(IntegerRow& row) {
  constexpr ptrdiff_t kMostTaken = 4 * 2 * 16;  // words and escapes of two groups
  constexpr int kWidth = kLanes == 32 ? 16 : kLanes;
  Groups groups(row);
  __m512i a = _mm512_loadu_si512(row.lane), b = _mm512_loadu_si512(row.lane + 16);
  const uint64_t width = kWidth == 0 ? row.lanes : kWidth, step = kLanes == 0 ? row.lanes : kLanes;
  const auto mask = [&](uint64_t column) {
    const uint64_t n = column < row.cols ? std::min(width, row.cols - column) : 0;
    return static_cast<__mmask16>((1u << n) - 1);
  };
  const auto all = static_cast<__mmask16>((1u << width) - 1);
  uint64_t c = 0;
  for (; c + step <= row.cols && row.in_end - groups.in() >= kMostTaken; c += step) {
    groups.template decode<kTrellis, kWidth>(a, c, all);
    if (kLanes == 32) groups.template decode<kTrellis, kWidth>(b, c + 16, all);
  }
  if (c < row.cols && c + step > row.cols && row.in_end - groups.in() >= kMostTaken) {
    groups.template decode<kTrellis, 0>(a, c, mask(c));
    if (kLanes == 32) groups.template decode<kTrellis, 0>(b, c + 16, mask(c + 16));
    c = row.cols;
  }
  _mm512_storeu_si512(row.lane, a);
  _mm512_storeu_si512(row.lane + 16, b);
  row.in = groups.in();
  return c;
}

template <bool kTrellis>
uint64_t decode_lanes(IntegerRow& row) {
  switch (row.lanes) {
    case 32:
      return decode_columns<kTrellis, 32>(row);
    case 16:
      return decode_columns<kTrellis, 16>(row);
    case 8:
      return decode_columns<kTrellis, 8>(row);
    default:
      return decode_columns<kTrellis, 0>(row);
  }
}

uint64_t decode_any_columns(IntegerRow& row) {
  return row.trellis ? decode_lanes<true>(row) : decode_lanes<false>(row);
}

#elif HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

using DI = hn::CappedTag<int32_t, 8>;
using DU = hn::RebindToUnsigned<DI>;
using DF = hn::RebindToFloat<DI>;
using D8 = hn::Rebind<uint8_t, DI>;
using D16 = hn::Rebind<uint16_t, DI>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
constexpr size_t kLanes = hn::MaxLanes(DI());

// kExpand[mask] has, for lane i of the mask, the number of set bits below i.
struct ExpandTable {
  alignas(64) uint8_t rank[1 << kLanes][8] = {};
  constexpr ExpandTable() {
    for (int m = 0; m < 1 << kLanes; ++m) {
      for (int i = 0, n = 0; i < static_cast<int>(kLanes); ++i)
        rank[m][i] = static_cast<uint8_t>((m >> i & 1) != 0 ? n++ : 0);
    }
  }
};
constexpr ExpandTable kExpand;

template <class M>
HWY_INLINE uint32_t bits_of(const M& mask) {
  std::array<uint8_t, 8> bits{};
  hn::StoreMaskBits(DI(), mask, bits.data());
  return bits[0];
}

// Columns in groups of 8 or 16, a few lanes at a time: first what their symbols say, then escaped
// codes, then values and states.
template <bool kTrellis>
class Groups {
 public:
  explicit Groups(const IntegerRow& row) : row_(row), in_(row.in) {}

  const uint8_t* in() const { return in_; }

  HWY_INLINE void decode(uint32_t* lane, uint64_t column, uint64_t width) {
    uint32_t escaped = 0;
    for (uint64_t i = 0; i < width; i += kLanes) escaped |= symbols(lane + i, column, i) << i;
    for (; HWY_UNLIKELY(escaped != 0); escaped &= escaped - 1) {
      int16_t code;
      std::memcpy(&code, in_, sizeof code);
      codes_[static_cast<size_t>(std::countr_zero(escaped))] = code;
      in_ += 2;
    }
    for (uint64_t i = 0; i < width; i += kLanes) values(column, i);
  }

 private:
  HWY_INLINE uint32_t symbols(uint32_t* lane, uint64_t column, uint64_t i) {
    const DI di;
    const DU du;
    const VI sum =
        hn::Add(hn::PromoteTo(di, hn::LoadU(hn::Rebind<int8_t, DI>(), row_.classes + column + i)),
                hn::Set(di, row_.row_class));
    VI k = hn::Min(hn::Max(sum, hn::Zero(di)), hn::Set(di, kLastClass));
    if (kTrellis) k = hn::Add(k, hn::ShiftLeft<6>(hn::And(states(column + i), hn::Set(di, 1))));
    const VI sort = hn::GatherIndex(di, row_.sorts, k);
    const VU b = hn::BitCast(du, hn::And(sort, hn::Set(di, 7)));
    const VU x = hn::Load(du, lane);
    const VU place = hn::And(hn::Shr(x, b), hn::Set(du, 0xfff));
    const VI index = hn::Add(hn::ShiftLeft<12>(hn::ShiftRight<3>(sort)), hn::BitCast(di, place));
    const VU slot = hn::GatherIndex(du, row_.slots, index);
    const VU f = hn::Add(hn::And(slot, hn::Set(du, 0xfff)), hn::Set(du, 1));
    const VU offset = hn::And(hn::ShiftRight<12>(slot), hn::Set(du, 0xfff));
    const VU high = hn::Shr(x, hn::Add(b, hn::Set(du, 12)));
    const VU next = hn::Add(hn::Mul(f, high), offset);
    hn::Store(renewed(next), du, lane);

    const VI symbol = hn::ShiftRight<24>(hn::BitCast(di, slot));
    const VU low = hn::Sub(hn::Shl(hn::Set(du, 1), b), hn::Set(du, 1));
    const VU code = hn::Or(hn::Shl(hn::BitCast(du, symbol), b), hn::And(x, low));
    hn::Store(hn::BitCast(di, code), di, codes_.data() + i);
    return bits_of(hn::Eq(symbol, hn::Set(di, kEscape)));
  }

  // States with a word more, where they have become small.
  HWY_INLINE VU renewed(VU next) {
    const DU du;
    const auto small = hn::Eq(hn::ShiftRight<16>(next), hn::Zero(du));
    const uint32_t mask = bits_of(hn::RebindMask(DI(), small));
    std::array<uint16_t, kLanes> loaded;
    std::memcpy(loaded.data(), in_, sizeof loaded);
    const VU words = hn::PromoteTo(du, hn::LoadU(D16(), loaded.data()));
    const VI rank = hn::PromoteTo(DI(), hn::LoadU(D8(), kExpand.rank[mask]));
    const VU fresh = hn::TableLookupLanes(words, hn::IndicesFromVec(du, rank));
    in_ += 2 * std::popcount(mask);
    return hn::IfThenElse(small, hn::Or(hn::ShiftLeft<16>(next), fresh), next);
  }

  HWY_INLINE VI states(uint64_t column) const {
    return hn::PromoteTo(DI(), hn::LoadU(D8(), row_.states + column));
  }

  HWY_INLINE void values(uint64_t column, uint64_t i) const {
    const DI di;
    const DF df;
    const VI code = hn::Load(di, codes_.data() + i), one = hn::Set(di, 1), zero = hn::Zero(di);
    const VI state = kTrellis ? states(column + i) : zero;
    const auto odd = hn::Eq(hn::And(state, one), one);
    if (row_.out) {
      auto level = hn::ConvertTo(df, code);
      if (kTrellis) {
        const auto in = hn::CopySign(hn::Set(df, 0.5f), level);
        const auto moved = hn::AndNot(hn::Eq(code, zero), odd);
        level = hn::Sub(level, hn::IfThenElseZero(hn::RebindMask(df, moved), in));
      }
      const auto scale =
          hn::Mul(hn::LoadU(df, row_.scales + column + i), hn::Set(df, row_.row_scale));
      hn::StoreU(hn::Mul(scale, level), df, row_.out + column + i);
    }
    if (!kTrellis) return;
    const auto odd_code = hn::Eq(hn::And(code, one), one);
    const VI feedback = hn::IfThenElseZero(odd, hn::Set(di, row_.feedback));
    const VI input = hn::IfThenElseZero(odd_code, hn::Set(di, row_.input));
    const VI next = hn::Xor(hn::ShiftRight<1>(state), hn::Xor(feedback, input));
    hn::StoreU(hn::DemoteTo(D8(), next), D8(), row_.states + column + i);
  }

  static constexpr int kLastClass = 47, kEscape = -128;

  const IntegerRow& row_;
  const uint8_t* in_;
  alignas(64) std::array<int32_t, 16> codes_;
};

template <bool kTrellis>
uint64_t decode_columns(IntegerRow& row) {
  constexpr ptrdiff_t kMostTaken = 2 * 2 * 16 + 2 * 8;  // words and escapes, and what is loaded
  const uint64_t width = std::min<uint64_t>(row.lanes, 16);
  if (width % kLanes != 0) return 0;
  Groups<kTrellis> groups(row);
  uint64_t c = 0;
  for (; c + width <= row.cols && row.in_end - groups.in() >= kMostTaken; c += width)
    groups.decode(row.lane + (c & (row.lanes - 1)), c, width);
  row.in = groups.in();
  return c;
}

uint64_t decode_any_columns(IntegerRow& row) {
  return row.trellis ? decode_columns<true>(row) : decode_columns<false>(row);
}

#else

uint64_t decode_any_columns(IntegerRow&) { return 0; }

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(decode_any_columns);

uint64_t decode_integer_columns(IntegerRow& row) {
  return HWY_DYNAMIC_DISPATCH(decode_any_columns)(row);
}

}  // namespace pith::form
#endif
