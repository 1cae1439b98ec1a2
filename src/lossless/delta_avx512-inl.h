// Delta coding on AVX-512 with VBMI and VBMI2: included once, for that target, by delta_kernel.cc.
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace pith::lossless::HWY_NAMESPACE {

using V = __m512i;
constexpr size_t kStep = 64;  // elements, whose symbols fill a vector

HWY_INLINE __m128i count_of(int n) { return _mm_cvtsi32_si128(n); }

// 32 elements of 16 bits. Symbols are at most 8 low bits apart, so that a field and its offset
// within a byte fit a lane.
struct Lanes16 {
  using Element = uint16_t;
  using Mask = __mmask32;
  static constexpr size_t kLanes = 32;

  struct Table {
    V entries;
    explicit Table(const std::array<uint8_t, kDeltaContexts>& t)
        : entries(_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(t.data())))) {}
    HWY_INLINE V operator[](V context) const { return _mm512_permutexvar_epi16(context, entries); }
  };

  static HWY_INLINE V set(int v) { return _mm512_set1_epi16(static_cast<short>(v)); }
  static HWY_INLINE V add(V a, V b) { return _mm512_add_epi16(a, b); }
  static HWY_INLINE V sub(V a, V b) { return _mm512_sub_epi16(a, b); }
  static HWY_INLINE V min(V a, V b) { return _mm512_min_epi16(a, b); }
  static HWY_INLINE V max(V a, V b) { return _mm512_max_epi16(a, b); }
  static HWY_INLINE V right(V a, int n) { return _mm512_srl_epi16(a, count_of(n)); }
  static HWY_INLINE V sign(V a) { return _mm512_srai_epi16(a, 15); }
  static HWY_INLINE V abs(V a) { return _mm512_abs_epi16(a); }
  static HWY_INLINE V lefts(V a, V n) { return _mm512_sllv_epi16(a, n); }
  static HWY_INLINE V rights(V a, V n) { return _mm512_srlv_epi16(a, n); }
  static HWY_INLINE V arithmetic_rights(V a, V n) { return _mm512_srav_epi16(a, n); }
  static HWY_INLINE Mask equal(V a, V b) { return _mm512_cmpeq_epi16_mask(a, b); }
  static HWY_INLINE Mask greater(V a, V b) { return _mm512_cmpgt_epi16_mask(a, b); }
  static HWY_INLINE V zero_where(Mask m, V a) { return _mm512_maskz_mov_epi16(~m, a); }
  static HWY_INLINE V blend(Mask m, V yes, V no) { return _mm512_mask_mov_epi16(no, m, yes); }

  // The bytes of 64 elements, a quarter or half of them in each vector.
  static HWY_INLINE V widen(V bytes, size_t part) {
    return _mm512_cvtepi8_epi16(part == 0 ? _mm512_castsi512_si256(bytes) : _mm512_extracti64x4_epi64(bytes, 1));
  }
  static HWY_INLINE V narrow(const V* v) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(v[0])), _mm512_cvtepi16_epi8(v[1]), 1);
  }

  // Each lane gets the sum of itself and those before it; the last lane is returned too.
  static HWY_INLINE V running_sum(V v, int& total) {
    const V lane = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14,
                                    13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
#pragma GCC unroll 5
    for (int step = 1; step < 32; step *= 2) {
      const Mask there = ~Mask{0} << step;
      v = _mm512_mask_add_epi16(v, there, v, _mm512_permutexvar_epi16(sub(lane, set(step)), v));
    }
    total = _mm_extract_epi16(_mm512_extracti32x4_epi32(v, 3), 7);
    return v;
  }
  // The two bytes at bit `at` of `bytes`, shifted so that this bit comes first.
  static HWY_INLINE V windows(V bytes, V at) {
    const V byte = _mm512_srli_epi16(at, 3);
    const V index = _mm512_add_epi16(_mm512_or_si512(byte, _mm512_slli_epi16(byte, 8)), set(0x0100));
    return rights(_mm512_permutexvar_epi8(index, bytes), _mm512_and_si512(at, set(7)));
  }
  // Joins the fields of four lanes to one of at most 32 bits in each 64-bit lane.
  static HWY_INLINE void join(V& field, V& length) {
    const V low = _mm512_set1_epi32(0xffff);
    const V first = _mm512_and_si512(length, low);
    field = _mm512_or_si512(_mm512_and_si512(field, low), _mm512_sllv_epi32(_mm512_srli_epi32(field, 16), first));
    length = _mm512_add_epi32(first, _mm512_srli_epi32(length, 16));
    join_pairs(field, length);
  }
  static HWY_INLINE void join_pairs(V& field, V& length) {
    const V low = _mm512_set1_epi64(0xffffffff);
    const V first = _mm512_and_si512(length, low);
    field = _mm512_or_si512(_mm512_and_si512(field, low), _mm512_sllv_epi64(_mm512_srli_epi64(field, 32), first));
    length = _mm512_add_epi64(first, _mm512_srli_epi64(length, 32));
  }
};

// 16 elements of 32 bits, at most 24 low bits each.
struct Lanes32 {
  using Element = uint32_t;
  using Mask = __mmask16;
  static constexpr size_t kLanes = 16;

  struct Table {
    V low, high;
    explicit Table(const std::array<uint8_t, kDeltaContexts>& t) {
      const auto load = [&](size_t at) {
        return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(t.data() + at)));
      };
      low = load(0);
      high = load(16);
    }
    HWY_INLINE V operator[](V context) const { return _mm512_permutex2var_epi32(low, context, high); }
  };

  static HWY_INLINE V set(int v) { return _mm512_set1_epi32(v); }
  static HWY_INLINE V add(V a, V b) { return _mm512_add_epi32(a, b); }
  static HWY_INLINE V sub(V a, V b) { return _mm512_sub_epi32(a, b); }
  static HWY_INLINE V min(V a, V b) { return _mm512_min_epi32(a, b); }
  static HWY_INLINE V max(V a, V b) { return _mm512_max_epi32(a, b); }
  static HWY_INLINE V right(V a, int n) { return _mm512_srl_epi32(a, count_of(n)); }
  static HWY_INLINE V sign(V a) { return _mm512_srai_epi32(a, 31); }
  static HWY_INLINE V abs(V a) { return _mm512_abs_epi32(a); }
  static HWY_INLINE V lefts(V a, V n) { return _mm512_sllv_epi32(a, n); }
  static HWY_INLINE V rights(V a, V n) { return _mm512_srlv_epi32(a, n); }
  static HWY_INLINE V arithmetic_rights(V a, V n) { return _mm512_srav_epi32(a, n); }
  static HWY_INLINE Mask equal(V a, V b) { return _mm512_cmpeq_epi32_mask(a, b); }
  static HWY_INLINE Mask greater(V a, V b) { return _mm512_cmpgt_epi32_mask(a, b); }
  static HWY_INLINE V zero_where(Mask m, V a) { return _mm512_maskz_mov_epi32(static_cast<Mask>(~m), a); }
  static HWY_INLINE V blend(Mask m, V yes, V no) { return _mm512_mask_mov_epi32(no, m, yes); }

  static HWY_INLINE V widen(V bytes, size_t part) {
    switch (part) {
      case 0: return _mm512_cvtepi8_epi32(_mm512_castsi512_si128(bytes));
      case 1: return _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(bytes, 1));
      case 2: return _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(bytes, 2));
      default: return _mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(bytes, 3));
    }
  }
  static HWY_INLINE V narrow(const V* v) {
    V bytes = _mm512_castsi128_si512(_mm512_cvtepi32_epi8(v[0]));
    bytes = _mm512_inserti32x4(bytes, _mm512_cvtepi32_epi8(v[1]), 1);
    bytes = _mm512_inserti32x4(bytes, _mm512_cvtepi32_epi8(v[2]), 2);
    return _mm512_inserti32x4(bytes, _mm512_cvtepi32_epi8(v[3]), 3);
  }

  static HWY_INLINE V running_sum(V v, int& total) {
    const V zero = _mm512_setzero_si512();
    v = add(v, _mm512_alignr_epi32(v, zero, 15));
    v = add(v, _mm512_alignr_epi32(v, zero, 14));
    v = add(v, _mm512_alignr_epi32(v, zero, 12));
    v = add(v, _mm512_alignr_epi32(v, zero, 8));
    total = _mm_extract_epi32(_mm512_extracti32x4_epi32(v, 3), 3);
    return v;
  }
  // The four bytes at bit `at` of `bytes`, shifted so that this bit comes first.
  static HWY_INLINE V windows(V bytes, V at) {
    const V byte = _mm512_srli_epi32(at, 3);
    const V index = add(_mm512_mullo_epi32(byte, set(0x01010101)), set(0x03020100));
    return rights(_mm512_permutexvar_epi8(index, bytes), _mm512_and_si512(at, set(7)));
  }
  static HWY_INLINE void join(V& field, V& length) { Lanes16::join_pairs(field, length); }
};

// What every step needs of the model, in registers.
template <class L>
struct Kernel {
  using E = typename L::Element;
  typename L::Table shift, whole;
  V top, floats, magnitude, exponent_mask, ceiling;
  int exponent_shift, contexts;
  bool is_float;

  explicit Kernel(const DeltaModel& m)
      : shift(m.shift),
        whole(m.whole),
        top(L::set(m.top)),
        floats(L::set(m.shape.is_float ? -1 : 0)),
        magnitude(L::set(static_cast<int>(magnitude_mask<E>()))),
        exponent_mask(L::set(m.shape.exponent_mask)),
        ceiling(L::set(static_cast<int>(m.ceiling<E>()))),
        exponent_shift(m.shape.exponent_shift),
        contexts(m.shape.is_float ? kDeltaContexts : 1),
        is_float(m.shape.is_float) {}

  HWY_INLINE V context(V base) const {
    if (!is_float) return _mm512_setzero_si512();
    const V half = L::right(base, exponent_shift - 1);
    const V exponent = _mm512_and_si512(L::right(half, 1), exponent_mask);
    const V below = L::max(L::sub(top, exponent), _mm512_setzero_si512());
    const V octave = L::min(below, L::set(kDeltaContexts / 2 - 1));
    return L::add(L::add(octave, octave), _mm512_andnot_si512(half, L::set(1)));
  }
  HWY_INLINE V ordered(V v) const {
    return _mm512_xor_si512(v, _mm512_and_si512(L::sign(v), _mm512_and_si512(magnitude, floats)));
  }
  HWY_INLINE V downwards(V base) const { return _mm512_and_si512(L::sign(base), floats); }
  HWY_INLINE auto is_whole(V context) const { return L::greater(whole[context], _mm512_setzero_si512()); }
};

// -a in lanes of ones, a in lanes of zeros.
template <class L>
HWY_INLINE V negate_where(V lanes, V a) {
  return L::sub(_mm512_xor_si512(a, lanes), lanes);
}

template <class L>
HWY_INLINE V decode_lanes(const Kernel<L>& k, V base, V context, V symbol, V shift, V low) {
  const auto join = [&](V high) { return _mm512_or_si512(L::lefts(high, shift), low); };
  const V up = negate_where<L>(k.downwards(base), join(symbol));
  const V moved = k.ordered(L::add(up, k.ordered(base)));
  const V distance = join(L::sub(L::abs(symbol), L::set(1)));
  const V magnitude = _mm512_and_si512(L::sub(k.ceiling, distance), k.magnitude);
  const V sign = _mm512_andnot_si512(k.magnitude, _mm512_xor_si512(symbol, base));
  return L::blend(k.is_whole(context), _mm512_or_si512(magnitude, sign), moved);
}

// The next symbols of 64 elements, whose contexts are given.
template <class L>
HWY_INLINE V take_symbols(const Kernel<L>& k, V contexts, DeltaSource& from) {
  V symbols = _mm512_setzero_si512();
  for (int c = 0; c < k.contexts; ++c) {
    const __mmask64 here = _mm512_cmpeq_epi8_mask(contexts, _mm512_set1_epi8(static_cast<char>(c)));
    const uint8_t*& next = from.next[static_cast<size_t>(c)];
    symbols = _mm512_mask_expand_epi8(symbols, here, _mm512_loadu_si512(next));
    next += static_cast<size_t>(_mm_popcnt_u64(here));
  }
  return symbols;
}

// One field of so many bits for each lane.
template <class L>
HWY_INLINE V take_low_bits(V length, LowBitReader& low) {
  int total;
  const V end = L::running_sum(length, total);
  const V at = L::add(L::sub(end, length), L::set(static_cast<int>(low.at % 8)));
  const V window = L::windows(_mm512_loadu_si512(low.position()), at);
  low.at += static_cast<uint64_t>(total);
  return _mm512_andnot_si512(L::lefts(L::set(-1), length), window);
}

template <class L>
bool decode_all(const DeltaModel& m, ByteView base, DeltaSource& from, MutableByteView raw, size_t& done) {
  using E = typename L::Element;
  constexpr size_t kVectors = kStep / L::kLanes;
  const Kernel<L> k(m);
  const size_t n = raw.size() / sizeof(E) / kStep * kStep;
  LowBitReader low = from.low;
  for (done = 0; done < n; done += kStep) {
    V b[kVectors], context[kVectors];
    for (size_t i = 0; i < kVectors; ++i) {
      b[i] = _mm512_loadu_si512(base.data() + (done + i * L::kLanes) * sizeof(E));
      context[i] = k.context(b[i]);
    }
    const V symbols = take_symbols(k, L::narrow(context), from);
    const __mmask64 escaped = _mm512_cmpeq_epi8_mask(symbols, _mm512_set1_epi8(kEscape));
    for (size_t i = 0; i < kVectors; ++i) {
      const auto here = static_cast<typename L::Mask>(escaped >> (i * L::kLanes));
      const V length = L::zero_where(here, k.shift[context[i]]);
      const V noise = take_low_bits<L>(length, low);
      const V v = decode_lanes<L>(k, b[i], context[i], L::widen(symbols, i), length, noise);
      _mm512_storeu_si512(raw.data() + (done + i * L::kLanes) * sizeof(E), v);
    }
    for (uint64_t left = escaped; left != 0; left &= left - 1) {
      if (from.escapes == from.escapes_end) return false;
      std::memcpy(raw.data() + (done + _tzcnt_u64(left)) * sizeof(E), from.escapes, sizeof(E));
      from.escapes += sizeof(E);
    }
  }
  from.low = low;
  return true;
}

bool decode_vectors(const DeltaModel& m, ByteView base, DeltaSource& from, MutableByteView raw, size_t& done) {
  done = 0;
  if (m.shape.width == 2) return decode_all<Lanes16>(m, base, from, raw, done);
  if (m.shape.width == 4) return decode_all<Lanes32>(m, base, from, raw, done);
  return true;
}

// Symbols, and what the low bits are taken from.
template <class L>
struct Coded {
  V symbol, code;
  typename L::Mask escaped;
};

template <class L>
HWY_INLINE Coded<L> encode_lanes(const Kernel<L>& k, V value, V base, V context, V shift) {
  const V up = L::sub(k.ordered(value), k.ordered(base));
  const V difference = negate_where<L>(k.downwards(base), up);
  const V move = L::arithmetic_rights(difference, shift);
  const V distance = L::sub(k.ceiling, _mm512_and_si512(value, k.magnitude));
  const V below = L::add(L::arithmetic_rights(distance, shift), L::set(1));
  const auto whole = k.is_whole(context);
  const V quotient = L::blend(whole, below, move);
  const auto high = L::greater(quotient, L::set(127));
  const auto low = L::greater(L::blend(whole, L::set(1), L::set(-127)), quotient);
  const auto escaped = static_cast<typename L::Mask>(high | low);
  const V signs = L::sign(_mm512_xor_si512(value, base));
  const V symbol = L::blend(whole, negate_where<L>(signs, below), move);
  return {L::blend(escaped, L::set(kEscape), symbol), L::blend(whole, distance, difference), escaped};
}

template <class L>
HWY_INLINE void put_symbols(const Kernel<L>& k, V symbols, V contexts, DeltaSink& to) {
  for (int c = 0; c < k.contexts; ++c) {
    const __mmask64 here = _mm512_cmpeq_epi8_mask(contexts, _mm512_set1_epi8(static_cast<char>(c)));
    uint8_t*& next = to.next[static_cast<size_t>(c)];
    _mm512_storeu_si512(next, _mm512_maskz_compress_epi8(here, symbols));
    next += static_cast<size_t>(_mm_popcnt_u64(here));
  }
}

// The low `length` bits of each lane.
template <class L>
HWY_INLINE void put_low_bits(V code, V length, LowBitWriter& low) {
  V field = _mm512_andnot_si512(L::lefts(L::set(-1), length), code);
  L::join(field, length);
  alignas(64) std::array<uint64_t, 8> fields, lengths;
  _mm512_store_si512(fields.data(), field);
  _mm512_store_si512(lengths.data(), length);
  for (size_t f = 0; f < 8; ++f) low.put(fields[f], static_cast<int>(lengths[f]));
}

template <class L>
size_t encode_all(const DeltaModel& m, ByteView raw, ByteView base, DeltaSink& to) {
  using E = typename L::Element;
  constexpr size_t kVectors = kStep / L::kLanes;
  const Kernel<L> k(m);
  const size_t n = raw.size() / sizeof(E) / kStep * kStep;
  LowBitWriter low = to.low;
  for (size_t done = 0; done < n; done += kStep) {
    V context[kVectors], symbol[kVectors];
    uint64_t escaped = 0;
    for (size_t i = 0; i < kVectors; ++i) {
      const size_t at = (done + i * L::kLanes) * sizeof(E);
      const V v = _mm512_loadu_si512(raw.data() + at), b = _mm512_loadu_si512(base.data() + at);
      context[i] = k.context(b);
      const V shift = k.shift[context[i]];
      const Coded<L> coded = encode_lanes<L>(k, v, b, context[i], shift);
      symbol[i] = coded.symbol;
      escaped |= uint64_t{coded.escaped} << (i * L::kLanes);
      put_low_bits<L>(coded.code, L::zero_where(coded.escaped, shift), low);
    }
    put_symbols(k, L::narrow(symbol), L::narrow(context), to);
    for (uint64_t left = escaped; left != 0; left &= left - 1) {
      std::memcpy(to.escapes, raw.data() + (done + _tzcnt_u64(left)) * sizeof(E), sizeof(E));
      to.escapes += sizeof(E);
    }
  }
  to.low = low;
  return n;
}

size_t encode_vectors(const DeltaModel& m, ByteView raw, ByteView base, DeltaSink& to) {
  if (m.shape.width == 2) return encode_all<Lanes16>(m, raw, base, to);
  if (m.shape.width == 4) return encode_all<Lanes32>(m, raw, base, to);
  return 0;
}

}  // namespace pith::lossless::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
