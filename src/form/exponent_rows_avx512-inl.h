// Short exponent codes on AVX-512 with VBMI2: included once, for that target, by exponent_rows.cc.
// A block of 64 elements goes from its bytes to four registers of floats without being stored.
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

constexpr int kRowsAtOnce = 2;
constexpr int kVectorsAtOnce = 6;
template <bool kHalf>
struct CodedRow512 {
  __m512i table;
  Escapes escapes;

  CodedRow512(const ExponentRows& rows, uint64_t r) : escapes(rows, r) {
    const uint64_t t = table_of(rows, r);
    // Codes of f16 have their highest bit at 8: exponents 4 to 7 are in the upper half.
    table = _mm512_broadcast_i32x4(
        _mm_set_epi64x(static_cast<int64_t>(kHalf ? t >> 32 : t), static_cast<int64_t>(t)));
  }
};

// The elements' bits in the order of places: interleaved low and high bytes, rotated back.
struct Words512 {
  __m512i low, high;
};

template <bool kHalf>
HWY_INLINE Words512 decode_words(CodedRow512<kHalf>& row, const uint8_t* low,
                                 const uint8_t* codes) {
  const __m512i shifts = _mm512_set_epi64(6, 6, 4, 4, 2, 2, 0, 0), three = _mm512_set1_epi8(3);
  const auto pairs = [&](const uint8_t* p) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_and_si512(_mm512_srlv_epi64(_mm512_broadcast_i32x4(packed), shifts), three);
  };
  __m512i code, rest;
  __mmask64 escaped;
  if constexpr (kHalf) {
    const __m512i nibble_shifts = _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0);
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
    const __m512i nibbles = _mm512_srlv_epi64(_mm512_broadcast_i64x4(packed), nibble_shifts);
    rest = _mm512_and_si512(nibbles, _mm512_set1_epi8(7));
    // (nibbles & 8) | pairs
    code = _mm512_ternarylogic_epi64(nibbles, _mm512_set1_epi8(8), pairs(codes + 32), 0xEA);
    escaped = _mm512_cmpeq_epi8_mask(code, _mm512_set1_epi8(11));
  } else {
    rest = _mm512_setzero_si512();
    const __m512i pair = pairs(codes);
    const __mmask64 third = load_le<uint64_t>(codes + 16);
    code = _mm512_mask_add_epi8(pair, third, pair, _mm512_set1_epi8(4));
    escaped = _mm512_mask_cmpeq_epi8_mask(third, pair, three);
  }
  const __m512i next = _mm512_loadu_si512(row.escapes.next());
  row.escapes.skip(std::popcount(static_cast<uint64_t>(escaped)));
  __m512i high = _mm512_mask_expand_epi8(_mm512_shuffle_epi8(row.table, code), escaped, next);
  if constexpr (kHalf) high = _mm512_or_si512(high, rest);
  const __m512i bytes = _mm512_loadu_si512(low);
  const __m512i a = _mm512_unpacklo_epi8(bytes, high), b = _mm512_unpackhi_epi8(bytes, high);
  return {_mm512_shrdi_epi16(a, a, 1), _mm512_shrdi_epi16(b, b, 1)};
}

// Four times 16 columns.
template <bool kHalf>
HWY_INLINE void floats_of_words(const Words512& w, __m512* out) {
  if constexpr (kHalf) {
    out[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(w.low));
    out[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(w.low, 1));
    out[2] = _mm512_cvtph_ps(_mm512_castsi512_si256(w.high));
    out[3] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(w.high, 1));
  } else {
    const __m512i odd = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
    out[0] = _mm512_castsi512_ps(_mm512_slli_epi32(w.low, 16));
    out[1] = _mm512_castsi512_ps(_mm512_and_si512(w.low, odd));
    out[2] = _mm512_castsi512_ps(_mm512_slli_epi32(w.high, 16));
    out[3] = _mm512_castsi512_ps(_mm512_and_si512(w.high, odd));
  }
}

template <bool kHalf>
void decode_row(const ExponentRows& rows, uint64_t r, float* out) {
  CodedRow512<kHalf> row(rows, r);
  const uint64_t cols = rows.cols;
  for_each_block<kHalf>(rows.blocks + r * exponent_row_bytes(cols, kHalf), cols,
                        [&](const uint8_t* low, const uint8_t* codes, uint64_t column) {
                          const Words512 words = decode_words(row, low, codes);
                          const uint64_t n = std::min(kExponentBlock, cols - column);
                          alignas(64) float last[kExponentBlock];
                          float* to = n == kExponentBlock ? out + column : last;
                          if constexpr (kHalf) {
                            alignas(64) uint8_t halves[2 * kExponentBlock];
                            _mm512_store_si512(halves, words.low);
                            _mm512_store_si512(halves + 64, words.high);
                            convert<LoadF16Exactly>(halves, n, out + column);
                          } else {
                            __m512 floats[4];
                            floats_of_words<kHalf>(words, floats);
                            for (int i = 0; i < 4; ++i) _mm512_storeu_ps(to + 16 * i, floats[i]);
                            if (to == last) std::copy_n(last, n, out + column);
                          }
                        });
}

// What R rows later is at this place: rows are taken in turn, so each line is fetched once, and
// long before it is wanted. Of several short streams the processor finds but a part by itself.
template <int R>
HWY_INLINE void fetch_next_rows(const uint8_t* p, uint64_t row_bytes) {
  for (uint64_t r = R; r < 2 * R; ++r) {
    _mm_prefetch(reinterpret_cast<const char*>(p + r * row_bytes), _MM_HINT_T1);
  }
}

template <bool kHalf, int R, int V>
HWY_INLINE void multiply_few(const ExponentRows& rows, uint64_t first, const float* x, float* out,
                             uint64_t stride) {
  const uint64_t cols = rows.cols, row_bytes = exponent_row_bytes(cols, kHalf);
  auto row = [&]<uint64_t... I>(std::integer_sequence<uint64_t, I...>) {
    return std::array{CodedRow512<kHalf>(rows, first + I)...};
  }
  (std::make_integer_sequence<uint64_t, R>());
  __m512 sum[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sum[r][v] = _mm512_setzero_ps();
  }
  const auto add = [&](const __m512(&floats)[R][4], const float* vectors, uint64_t between,
                       int parts) {
    for (int i = 0; i < parts; ++i) {
      for (int v = 0; v < V; ++v) {
        const __m512 xs = _mm512_loadu_ps(vectors + static_cast<uint64_t>(v) * between + 16 * i);
        for (int r = 0; r < R; ++r) sum[r][v] = _mm512_fmadd_ps(floats[r][i], xs, sum[r][v]);
      }
    }
  };
  for_each_block<kHalf>(
      rows.blocks + first * row_bytes, cols,
      [&](const uint8_t* low, const uint8_t* codes, uint64_t column) {
        __m512 floats[R][4];
        for (int r = 0; r < R; ++r) {
          const uint64_t skip = static_cast<uint64_t>(r) * row_bytes;
          floats_of_words<kHalf>(
              decode_words(row[static_cast<size_t>(r)], low + skip, codes + skip), floats[r]);
        }
        fetch_next_rows<R>(low, row_bytes);
        fetch_next_rows<R>(codes, row_bytes);
        const uint64_t n = cols - column;
        if (n >= kExponentBlock) return add(floats, x + column, cols, 4);
        alignas(64) float last[V][kExponentBlock] = {};
        for (uint64_t v = 0; v < V; ++v) std::copy_n(x + v * cols + column, n, last[v]);
        for (int i = 0; i < 4; ++i) {
          const uint64_t before = 16 * static_cast<uint64_t>(i),
                         there = n > before ? n - before : 0;
          const auto mask = static_cast<__mmask16>(there >= 16 ? 0xFFFF : (1u << there) - 1);
          for (int r = 0; r < R; ++r) floats[r][i] = _mm512_maskz_mov_ps(mask, floats[r][i]);
        }
        add(floats, last[0], kExponentBlock, static_cast<int>((n + 15) / 16));
      });
  alignas(64) float sums[kSums];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      _mm512_store_ps(sums, sum[r][v]);
      out[static_cast<uint64_t>(v) * stride + static_cast<uint64_t>(r)] = sum_of(sums);
    }
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
