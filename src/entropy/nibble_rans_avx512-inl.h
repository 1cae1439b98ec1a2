// nibble_rans on AVX-512 with VBMI and VBMI2: included once, for that target, by
// nibble_rans_kernels.cc. 64 lanes a register pair; all tables stay in registers.
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace pith::entropy::HWY_NAMESPACE {

constexpr size_t kGroups = kNibbleLanes / 64;
constexpr __mmask64 kEven = 0x5555555555555555;

struct Planes {
  __m512i low[kGroups], high[kGroups];
};

// (even & 0xff) | (odd << 8), and the same of the high bytes: ternary logic 0xca selects b by a.
HWY_INLINE __m512i select_bytes(__m512i even, __m512i odd) {
  const __m512i mask = _mm512_set1_epi16(0x00ff);
  return _mm512_ternarylogic_epi32(mask, even, odd, 0xca);
}

HWY_INLINE Planes load_states(const uint16_t* state) {
  Planes p;
  for (size_t g = 0; g < kGroups; ++g) {
    const __m512i a = _mm512_loadu_si512(state + 64 * g);
    const __m512i b = _mm512_loadu_si512(state + 64 * g + 32);
    p.low[g] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(a)),
                                  _mm512_cvtepi16_epi8(b), 1);
    p.high[g] =
        _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_srli_epi16(a, 8))),
                           _mm512_cvtepi16_epi8(_mm512_srli_epi16(b, 8)), 1);
  }
  return p;
}

HWY_INLINE void store_states(const Planes& p, uint16_t* state) {
  for (size_t g = 0; g < kGroups; ++g) {
    const auto join = [](__m256i low, __m256i high) {
      return _mm512_or_si512(_mm512_cvtepu8_epi16(low),
                             _mm512_slli_epi16(_mm512_cvtepu8_epi16(high), 8));
    };
    _mm512_storeu_si512(state + 64 * g,
                        join(_mm512_castsi512_si256(p.low[g]), _mm512_castsi512_si256(p.high[g])));
    _mm512_storeu_si512(state + 64 * g + 32, join(_mm512_extracti64x4_epi64(p.low[g], 1),
                                                  _mm512_extracti64x4_epi64(p.high[g], 1)));
  }
}

HWY_INLINE __m512i repeat16(const uint8_t* table) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
}

// A table of 256 entries in four registers.
struct Table256 {
  __m512i part[4];
  explicit Table256(const uint8_t* t) {
    for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(t + 64 * i);
  }
  HWY_INLINE __m512i operator()(__m512i index) const {
    const __m512i a = _mm512_permutex2var_epi8(part[0], index, part[1]);
    const __m512i b = _mm512_permutex2var_epi8(part[2], index, part[3]);
    return _mm512_mask_mov_epi8(a, _mm512_movepi8_mask(index), b);
  }
};

struct DecodeConstants {
  Table256 entry;
  __m512i frequency, first_slot, symbol, escape;
};

// Decodes one symbol in each of the 64 lanes of (low, high).
template <bool kEscapes>
HWY_INLINE __m512i decode_group(const DecodeConstants& t, __m512i& low, __m512i& high,
                                const uint8_t*& in, const uint8_t*& escapes) {
  const __m512i byte = _mm512_set1_epi16(0x00ff);
  const __m512i entry = t.entry(low);
  const __m512i f = _mm512_shuffle_epi8(t.frequency, entry);
  const __m512i rest = _mm512_sub_epi8(low, _mm512_shuffle_epi8(t.first_slot, entry));
  const __m512i even =
      _mm512_add_epi16(_mm512_mullo_epi16(_mm512_and_si512(f, byte), _mm512_and_si512(high, byte)),
                       _mm512_and_si512(rest, byte));
  const __m512i odd = _mm512_add_epi16(
      _mm512_mulhi_epu16(_mm512_andnot_si512(byte, f), _mm512_andnot_si512(byte, high)),
      _mm512_srli_epi16(rest, 8));
  const __m512i new_low = select_bytes(even, _mm512_slli_epi16(odd, 8));
  const __m512i new_high = select_bytes(_mm512_srli_epi16(even, 8), odd);
  const __mmask64 renew = _mm512_testn_epi8_mask(new_high, new_high);
  high = _mm512_mask_mov_epi8(new_high, renew, new_low);
  low = _mm512_mask_expand_epi8(new_low, renew, _mm512_loadu_si512(in));
  in += std::popcount(static_cast<uint64_t>(renew));
  __m512i symbol = _mm512_shuffle_epi8(t.symbol, entry);
  if constexpr (kEscapes) {
    const __mmask64 escaped = _mm512_cmpeq_epi8_mask(entry, t.escape);
    symbol = _mm512_mask_expand_epi8(symbol, escaped, _mm512_loadu_si512(escapes));
    escapes += std::popcount(static_cast<uint64_t>(escaped));
  }
  return symbol;
}

template <bool kEscapes>
size_t decode_loop(const NibbleDecodeTable& table, NibbleDecoder& d, uint8_t* out, size_t n) {
  const DecodeConstants t{Table256(table.entry_of_slot.data()), repeat16(table.frequency.data()),
                          repeat16(table.first_slot.data()), repeat16(table.symbol.data()),
                          _mm512_set1_epi8(static_cast<char>(table.escape))};
  Planes p = load_states(d.state.data());
  const uint8_t *in = d.in, *escapes = d.escapes;
  size_t i = 0;
  for (; i + kNibbleLanes <= n; i += kNibbleLanes) {
    if (d.in_end - in < static_cast<ptrdiff_t>(kNibbleLanes)) break;
    if (kEscapes && d.escapes_end - escapes < static_cast<ptrdiff_t>(kNibbleLanes - 64)) break;
    for (size_t g = 0; g < kGroups; ++g) {
      const __m512i s = decode_group<kEscapes>(t, p.low[g], p.high[g], in, escapes);
      _mm512_storeu_si512(out + i + 64 * g, s);
    }
    if (kEscapes && escapes > d.escapes_end) return SIZE_MAX;
  }
  d.in = in;
  d.escapes = escapes;
  store_states(p, d.state.data());
  return i;
}

// Decodes whole steps while the stream is long enough; returns the number of symbols done, or
// SIZE_MAX when the escapes have run out.
size_t decode_steps(const NibbleDecodeTable& table, NibbleDecoder& d, uint8_t* out, size_t n) {
  return table.escape != 255 ? decode_loop<true>(table, d, out, n)
                             : decode_loop<false>(table, d, out, n);
}

struct EncodeConstants {
  Table256 entry;
  __m512i frequency, bias, plus, reciprocal, shift, escape;
};

// The bytes chosen by `mask`, in lane order, just below `out`.
HWY_INLINE void push_bytes(__m512i bytes, __mmask64 mask, uint8_t*& out) {
  const auto m = static_cast<uint64_t>(mask);
  out -= std::popcount(m);
  _mm512_mask_storeu_epi8(out, _pext_u64(m, m), _mm512_maskz_compress_epi8(mask, bytes));
}

template <bool kEscapes>
HWY_INLINE void encode_group(const EncodeConstants& t, __m512i symbols, __m512i& low, __m512i& high,
                             uint8_t*& out, uint8_t*& escapes) {
  const __m512i byte = _mm512_set1_epi16(0x00ff);
  const __m512i entry = t.entry(symbols);
  const __m512i entry_odd = _mm512_srli_epi16(entry, 8);
  const __m512i f = _mm512_shuffle_epi8(t.frequency, entry);
  const __mmask64 full = _mm512_cmpge_epu8_mask(high, f);
  push_bytes(low, full, out);
  low = _mm512_mask_mov_epi8(low, full, high);
  high = _mm512_maskz_mov_epi8(~full, high);
  const __m512i even = select_bytes(low, _mm512_slli_epi16(high, 8));
  const __m512i odd = select_bytes(_mm512_srli_epi16(low, 8), high);
  // vpermw looks at the low five bits of a word only: the even entry, and zero.
  const __m512i q_even =
      _mm512_srlv_epi16(_mm512_mulhi_epu16(even, _mm512_permutexvar_epi16(entry, t.reciprocal)),
                        _mm512_permutexvar_epi16(entry, t.shift));
  const __m512i q_odd =
      _mm512_srlv_epi16(_mm512_mulhi_epu16(odd, _mm512_permutexvar_epi16(entry_odd, t.reciprocal)),
                        _mm512_permutexvar_epi16(entry_odd, t.shift));
  const __m512i q = _mm512_or_si512(q_even, _mm512_slli_epi16(q_odd, 8));
  const __m512i qf = select_bytes(_mm512_mullo_epi16(q_even, f),
                                  _mm512_mullo_epi16(q_odd, _mm512_andnot_si512(byte, f)));
  low = _mm512_sub_epi8(_mm512_add_epi8(low, _mm512_shuffle_epi8(t.bias, entry)), qf);
  high = _mm512_add_epi8(q, _mm512_shuffle_epi8(t.plus, entry));
  if constexpr (kEscapes) {
    push_bytes(symbols, _mm512_cmpeq_epi8_mask(entry, t.escape), escapes);
  }
}

template <bool kEscapes>
void encode_loop(const NibbleEncodeTable& table, NibbleEncoder& e, const uint8_t* symbols,
                 size_t n) {
  const auto repeat32 = [](const std::array<uint16_t, 16>& a) {
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.data())));
  };
  const EncodeConstants t{Table256(table.entry_of_symbol.data()),
                          repeat16(table.frequency.data()),
                          repeat16(table.bias.data()),
                          repeat16(table.plus.data()),
                          repeat32(table.reciprocal),
                          repeat32(table.shift),
                          _mm512_set1_epi8(static_cast<char>(table.escape))};
  Planes p = load_states(e.state.data());
  uint8_t *out = e.out, *escapes = e.escapes;
  for (size_t i = n; i > 0; i -= kNibbleLanes) {
    for (size_t g = kGroups; g-- > 0;) {
      const __m512i s = _mm512_loadu_si512(symbols + i - kNibbleLanes + 64 * g);
      encode_group<kEscapes>(t, s, p.low[g], p.high[g], out, escapes);
    }
  }
  e.out = out;
  e.escapes = escapes;
  store_states(p, e.state.data());
}

// Encodes the last of n symbols, a multiple of kNibbleLanes; returns how many are left.
size_t encode_steps(const NibbleEncodeTable& table, NibbleEncoder& e, const uint8_t* symbols,
                    size_t n) {
  if (table.escape != 255) {
    encode_loop<true>(table, e, symbols, n);
  } else {
    encode_loop<false>(table, e, symbols, n);
  }
  return 0;
}

}  // namespace pith::entropy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
