#include "histogram_few.h"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/entropy/histogram_few.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_AVX3_DL
#include <immintrin.h>
#endif

#ifndef PITH_ENTROPY_HISTOGRAM_FEW
#define PITH_ENTROPY_HISTOGRAM_FEW
namespace pith::entropy {

constexpr size_t kFew = 15;

struct FewSymbols {
  std::array<uint8_t, kFew> symbol;            // distinct
  alignas(64) std::array<uint8_t, 256> other;  // 0xff for all but them
};

}  // namespace pith::entropy
#endif

HWY_BEFORE_NAMESPACE();
namespace pith::entropy::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3_DL

bool can_count_blocks() { return true; }

// 0xff in the bytes of v that are not among the few symbols.
HWY_INLINE __mmask64 others(const __m512i* table, __m512i v) {
  const __m512i a = _mm512_permutex2var_epi8(table[0], v, table[1]);
  const __m512i b = _mm512_permutex2var_epi8(table[2], v, table[3]);
  return _mm512_movepi8_mask(_mm512_mask_mov_epi8(a, _mm512_movepi8_mask(v), b));
}

// Adds the counts of the few symbols in up to 255 blocks of 64 bytes, and puts the other bytes to
// `rest` (64 bytes more may be written), whose number is returned.
size_t count_blocks(const FewSymbols& few, const uint8_t* p, size_t blocks, uint8_t* rest,
                    uint32_t* counts) {
  __m512i table[4], symbol[kFew], sum[kFew];
  for (size_t i = 0; i < 4; ++i) table[i] = _mm512_load_si512(few.other.data() + 64 * i);
  for (size_t k = 0; k < kFew; ++k) {
    symbol[k] = _mm512_set1_epi8(static_cast<char>(few.symbol[k]));
    sum[k] = _mm512_setzero_si512();
  }
  const __m512i minus_one = _mm512_set1_epi8(-1);
  uint8_t* to = rest;
  for (size_t i = 0; i < blocks; ++i) {
    const __m512i v = _mm512_loadu_si512(p + 64 * i);
#pragma GCC unroll 15
    for (size_t k = 0; k < kFew; ++k) {
      sum[k] =
          _mm512_mask_sub_epi8(sum[k], _mm512_cmpeq_epi8_mask(v, symbol[k]), sum[k], minus_one);
    }
    const __mmask64 other = others(table, v);
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi8(other, v));
    to += std::popcount(static_cast<uint64_t>(other));
  }
  for (size_t k = 0; k < kFew; ++k) {
    const __m512i eights = _mm512_sad_epu8(sum[k], _mm512_setzero_si512());
    counts[few.symbol[k]] += static_cast<uint32_t>(_mm512_reduce_add_epi64(eights));
  }
  return static_cast<size_t>(to - rest);
}

#else
bool can_count_blocks() { return false; }
size_t count_blocks(const FewSymbols&, const uint8_t*, size_t, uint8_t*, uint32_t*) { return 0; }
#endif

}  // namespace pith::entropy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::entropy {
namespace {

HWY_EXPORT(can_count_blocks);
HWY_EXPORT(count_blocks);

constexpr size_t kLeast = 4096;   // shorter sequences do not repay the sample
constexpr size_t kSample = 256;   // in four places
constexpr size_t kMostRare = 16;  // of the sample: bytes that may be outside the few

// The commonest values of a sample; false when they are not nearly all of it.
bool choose_few(ByteView symbols, FewSymbols& few) {
  std::array<uint8_t, 256> count{};  // 255 and 256 are as good as each other
  std::array<uint16_t, 256> found;
  size_t distinct = 0;
  for (size_t i = 0; i < kSample; ++i) {
    const uint8_t v = symbols[symbols.size() / 4 * (i / 64) + i % 64];
    if (count[v] == 0) found[distinct++] = v;
    count[v] = static_cast<uint8_t>(std::min(count[v] + 1, 255));
  }
  const auto commoner = [&](uint16_t a, uint16_t b) { return count[a] > count[b]; };
  if (distinct > kFew + kMostRare) return false;
  std::sort(found.begin(), found.begin() + distinct, commoner);
  size_t rare = 0;
  for (size_t i = kFew; i < distinct; ++i) rare += count[found[i]];
  for (uint16_t v = 0; distinct < kFew; ++v) {
    if (count[v] == 0) found[distinct++] = v;
  }
  few.other.fill(0xff);
  for (size_t k = 0; k < kFew; ++k) {
    few.symbol[k] = static_cast<uint8_t>(found[k]);
    few.other[found[k]] = 0;
  }
  return rare <= kMostRare;
}

}  // namespace

size_t count_few(ByteView symbols, Histogram& counts) {
  if (symbols.size() < kLeast || !HWY_DYNAMIC_DISPATCH(can_count_blocks)()) return 0;
  FewSymbols few;
  if (!choose_few(symbols, few)) return 0;
  constexpr size_t kMostBlocks = 255;  // sums of bytes do not overflow
  uint8_t rest[64 * kMostBlocks + 64];
  size_t done = 0;
  while (symbols.size() - done >= 64) {
    const size_t blocks = std::min((symbols.size() - done) / 64, kMostBlocks);
    const size_t others =
        HWY_DYNAMIC_DISPATCH(count_blocks)(few, symbols.data() + done, blocks, rest, counts.data());
    for (size_t i = 0; i < others; ++i) ++counts[rest[i]];
    done += 64 * blocks;
  }
  return done;
}

}  // namespace pith::entropy
#endif
