#include "byte_rans_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/entropy/byte_rans_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace pith::entropy::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL

struct Lanes {
  static constexpr size_t kCount = 16;
  __m512i x;

  HWY_INLINE void load(const uint32_t* state) { x = _mm512_loadu_si512(state); }
  HWY_INLINE void store(uint32_t* state) const { _mm512_storeu_si512(state, x); }
  HWY_INLINE void step(const uint32_t* slots, const uint8_t*& in, uint8_t* out) {
    const __m512i slot =
        _mm512_i32gather_epi32(_mm512_and_si512(x, _mm512_set1_epi32(kByteTotal - 1)), slots, 4);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(slot));
    const __m512i f = _mm512_and_si512(_mm512_srli_epi32(slot, 8), _mm512_set1_epi32(0xfff));
    x = _mm512_add_epi32(_mm512_mullo_epi32(f, _mm512_srli_epi32(x, kByteTotalLog)),
                         _mm512_srli_epi32(slot, 20));
    const __mmask16 renew = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(1 << 16));
    const __m512i words =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in)));
    const __m512i fresh = _mm512_maskz_expand_epi32(renew, words);
    x = _mm512_mask_or_epi32(x, renew, _mm512_slli_epi32(x, 16), fresh);
    in += 2 * std::popcount(static_cast<uint32_t>(renew));
  }
};

#elif HWY_TARGET == HWY_AVX2

// kExpand[mask] has, for lane i of the mask, the number of set bits below i.
struct ExpandTable {
  alignas(64) uint8_t rank[256][8] = {};
  constexpr ExpandTable() {
    for (int m = 0; m < 256; ++m) {
      for (int i = 0, n = 0; i < 8; ++i)
        rank[m][i] = static_cast<uint8_t>((m >> i & 1) != 0 ? n++ : 0);
    }
  }
};
constexpr ExpandTable kExpand;

struct Lanes {
  static constexpr size_t kCount = 8;
  __m256i x;

  HWY_INLINE void load(const uint32_t* state) {
    x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(state));
  }
  HWY_INLINE void store(uint32_t* state) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(state), x);
  }
  HWY_INLINE void step(const uint32_t* slots, const uint8_t*& in, uint8_t* out) {
    const __m256i slot =
        _mm256_i32gather_epi32(reinterpret_cast<const int*>(slots),
                               _mm256_and_si256(x, _mm256_set1_epi32(kByteTotal - 1)), 4);
    const __m256i symbol = _mm256_and_si256(slot, _mm256_set1_epi32(0xff));
    const __m128i pairs =
        _mm_packus_epi32(_mm256_castsi256_si128(symbol), _mm256_extracti128_si256(symbol, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(pairs, pairs));
    const __m256i f = _mm256_and_si256(_mm256_srli_epi32(slot, 8), _mm256_set1_epi32(0xfff));
    x = _mm256_add_epi32(_mm256_mullo_epi32(f, _mm256_srli_epi32(x, kByteTotalLog)),
                         _mm256_srli_epi32(slot, 20));
    const __m256i renew = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const auto mask = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(renew)));
    const __m256i words =
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
    const __m256i rank =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kExpand.rank[mask])));
    const __m256i fresh = _mm256_permutevar8x32_epi32(words, rank);
    x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), fresh), renew);
    in += 2 * std::popcount(mask);
  }
};

#endif

// Decodes whole steps of kByteLanes symbols while the stream is long enough; returns the number of
// symbols done.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
size_t decode_words(const ByteDecodeTable& t, ByteDecoder& d, uint8_t* out, size_t n) {
  constexpr size_t kVectors = kByteLanes / Lanes::kCount;
  Lanes v[kVectors];
  for (size_t k = 0; k < kVectors; ++k) v[k].load(d.state.data() + k * Lanes::kCount);
  const uint8_t* in = d.in;
  size_t i = 0;
  for (; i + kByteLanes <= n; i += kByteLanes) {
    if (d.in_end - in < static_cast<ptrdiff_t>(2 * kByteLanes)) break;
    for (size_t k = 0; k < kVectors; ++k) {
      v[k].step(t.slots.data(), in, out + i + k * Lanes::kCount);
    }
  }
  d.in = in;
  for (size_t k = 0; k < kVectors; ++k) v[k].store(d.state.data() + k * Lanes::kCount);
  return i;
}
#else
size_t decode_words(const ByteDecodeTable&, ByteDecoder&, uint8_t*, size_t) { return 0; }
#endif

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL

// floor(x / f) for x < 2^32 and 0 < f < 2^12: the quotient of doubles is too exact to round up.
HWY_INLINE __m512i divide(__m512i x, __m512i f) {
  const __m256i low =
      _mm512_cvttpd_epu32(_mm512_div_pd(_mm512_cvtepu32_pd(_mm512_castsi512_si256(x)),
                                        _mm512_cvtepu32_pd(_mm512_castsi512_si256(f))));
  const __m256i high =
      _mm512_cvttpd_epu32(_mm512_div_pd(_mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(x, 1)),
                                        _mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(f, 1))));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

HWY_INLINE __m512i encode_lanes(const uint32_t* packed, __m512i x, const uint8_t* symbols,
                                uint8_t*& out) {
  const __m512i symbol =
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols)));
  const __m512i entry = _mm512_i32gather_epi32(symbol, packed, 4);
  const __m512i f = _mm512_and_si512(entry, _mm512_set1_epi32(0xffff));
  const __mmask16 full = _mm512_cmpge_epu32_mask(x, _mm512_slli_epi32(f, 20));
  const auto count = static_cast<uint32_t>(std::popcount(static_cast<uint32_t>(full)));
  out -= 2 * count;
  _mm256_mask_storeu_epi16(out, static_cast<__mmask16>((1u << count) - 1),
                           _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, x)));
  x = _mm512_mask_srli_epi32(x, full, x, 16);
  const __m512i rest = _mm512_sub_epi32(_mm512_set1_epi32(kByteTotal), f);
  return _mm512_add_epi32(_mm512_add_epi32(x, _mm512_srli_epi32(entry, 16)),
                          _mm512_mullo_epi32(divide(x, f), rest));
}

// Encodes the last of n symbols, a multiple of kByteLanes; returns how many are left.
size_t encode_words(const ByteEncodeTable& t, ByteEncoder& e, const uint8_t* symbols, size_t n) {
  __m512i a = _mm512_loadu_si512(e.state.data()), b = _mm512_loadu_si512(e.state.data() + 16);
  uint8_t* out = e.out;
  for (size_t i = n; i > 0; i -= kByteLanes) {
    b = encode_lanes(t.packed.data(), b, symbols + i - 16, out);
    a = encode_lanes(t.packed.data(), a, symbols + i - 32, out);
  }
  e.out = out;
  _mm512_storeu_si512(e.state.data(), a);
  _mm512_storeu_si512(e.state.data() + 16, b);
  return 0;
}
#else
size_t encode_words(const ByteEncodeTable&, ByteEncoder&, const uint8_t*, size_t n) { return n; }
#endif

}  // namespace pith::entropy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::entropy {
namespace {

HWY_EXPORT(decode_words);
HWY_EXPORT(encode_words);

// A run for which the stream surely lasts (kChecked false), or one symbol at a time.
template <bool kChecked>
bool decode_run(const ByteDecodeTable& t, ByteDecoder& d, uint8_t* out, size_t from, size_t to) {
  // Copies: stores of symbols could otherwise change anything, as far as the compiler knows.
  std::array<uint32_t, kByteLanes> states = d.state;
  const size_t mask = d.lanes - 1;
  const uint8_t *in = d.in, *const in_end = d.in_end;
  for (size_t i = from; i < to; ++i) {
    uint32_t& state = states[i & mask];
    const uint32_t slot = t.slots[state % kByteTotal];
    out[i] = static_cast<uint8_t>(slot);
    uint32_t x = (slot >> 8 & 0xfff) * (state >> kByteTotalLog) + (slot >> 20);
    const uint32_t low = x < kByteStart ? 1 : 0;  // a branch on it would be mispredicted often
    if (kChecked && in == in_end) {
      if (low != 0) return false;
    } else {
      x = x << (16 * low) | (load_le<uint16_t>(in) & (0 - low));
      in += 2 * low;
    }
    state = x;
  }
  d.in = in;
  d.state = states;
  return true;
}

}  // namespace

ByteDecodeTable::ByteDecodeTable(const ByteTable& table) {
  uint32_t slot = 0;
  for (uint32_t v = 0; v < 256; ++v) {
    const uint32_t f = table.frequency[v];
    for (uint32_t i = 0; i < f; ++i) slots[slot++] = v | f << 8 | i << 20;
  }
}

bool byte_decode_segment(const ByteDecodeTable& t, ByteDecoder& d, uint8_t* out, size_t n) {
  size_t i = d.lanes == kByteLanes ? HWY_DYNAMIC_DISPATCH(decode_words)(t, d, out, n) : 0;
  while (n - i >= 64 && static_cast<size_t>(d.in_end - d.in) >= 128) {
    const size_t run = std::min<size_t>(n - i, static_cast<size_t>(d.in_end - d.in) / 2);
    decode_run<false>(t, d, out, i, i + run);
    i += run;
  }
  return decode_run<true>(t, d, out, i, n);
}

ByteEncodeTable::ByteEncodeTable(const ByteTable& table) {
  uint32_t slot = 0;
  for (uint32_t v = 0; v < 256; ++v) {
    const uint32_t f = table.frequency[v];
    constexpr uint64_t kScale = uint64_t{1} << 44;
    entries[v] = {f == 0 ? 0 : (kScale + f - 1) / f, f, slot};
    packed[v] = f | slot << 16;
    slot += f;
  }
}

namespace {

// Encodes symbols n - 1 down to `to`.
void encode_run(const ByteEncodeTable& t, ByteEncoder& e, const uint8_t* symbols, size_t to,
                size_t n) {
  std::array<uint32_t, kByteLanes> states = e.state;  // a copy, as in decode_run
  const size_t mask = e.lanes - 1;
  uint8_t* out = e.out;
  for (size_t i = n; i-- > to;) {
    const ByteEncodeTable::Entry& entry = t.entries[symbols[i]];
    uint32_t& state = states[i & mask];
    uint32_t x = state;
    const uint32_t full = x >= entry.frequency << 20 ? 1 : 0;
    store_le(out - 2, static_cast<uint16_t>(x));
    out -= 2 * full;
    x >>= 16 * full;
    const auto q = static_cast<uint32_t>((x * entry.reciprocal) >> 44);
    state = x + entry.slot + q * (kByteTotal - entry.frequency);
  }
  e.out = out;
  e.state = states;
}

}  // namespace

void byte_encode_segment(const ByteEncodeTable& t, ByteEncoder& e, const uint8_t* symbols,
                         size_t n) {
  size_t whole = e.lanes == kByteLanes ? n - n % kByteLanes : 0;
  encode_run(t, e, symbols, whole, n);
  if (whole > 0) whole = HWY_DYNAMIC_DISPATCH(encode_words)(t, e, symbols, whole);
  encode_run(t, e, symbols, 0, whole);
}

}  // namespace pith::entropy
#endif
