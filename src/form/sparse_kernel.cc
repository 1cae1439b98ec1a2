#include "sparse_kernel.h"

#include <algorithm>
#include <array>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/sparse_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef PITH_FORM_EXPAND_TABLE
#define PITH_FORM_EXPAND_TABLE
namespace pith::form {

// For each mask of 8 lanes where the value of each lane is among the packed ones; 0x80 where the
// lane has none.
constexpr auto kExpand = [] {
  std::array<std::array<uint8_t, 8>, 256> table{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    uint8_t next = 0;
    for (unsigned lane = 0; lane < 8; ++lane)
      table[mask][lane] = mask >> lane & 1 ? next++ : uint8_t{0x80};
  }
  return table;
}();

}  // namespace pith::form
#endif

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

HWY_INLINE uint64_t width_of(DType type) { return type == DType::kF32 ? 4 : 2; }

// What is done with the elements of a row in steps of kStep columns: they are stored, or
// multiplied and added up. A step takes the values that its bits ask for.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3

constexpr uint64_t kStep = 32;
struct Step {
  __m512 low, high;
};

HWY_INLINE __mmask16 first(uint64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

template <DType kType>
HWY_INLINE __m512 widen(__m256i raw) {
  if constexpr (kType == DType::kF16) return _mm512_cvtph_ps(raw);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
}

// Sixteen columns: n values are there. (vpexpandw would do 32 at a time, but takes some 16 cycles
// on Zen 4.)
template <DType kType>
HWY_INLINE __m512 expand_half(uint32_t bits, const uint8_t* p, uint64_t readable, uint32_t n) {
  __m512 packed;
  if constexpr (kType == DType::kF32) {
    packed = _mm512_maskz_loadu_ps(first(n), p);
  } else {
    packed = widen<kType>(HWY_LIKELY(readable >= kStep)
                              ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
                              : _mm256_maskz_loadu_epi16(first(n), p));
  }
  return _mm512_maskz_expand_ps(static_cast<__mmask16>(bits), packed);
}

template <DType kType>
HWY_INLINE Step expand_step(uint32_t bits, const uint8_t* p, uint64_t readable, uint32_t n) {
  const auto below = static_cast<uint32_t>(std::popcount(bits & 0xFFFF));
  return {expand_half<kType>(bits & 0xFFFF, p, readable, below),
          expand_half<kType>(bits >> 16, p + below * width_of(kType), readable, n - below)};
}

struct Store {
  float* out;
  HWY_INLINE void step(Step v, uint64_t at, int) {
    _mm512_storeu_ps(out + at, v.low);
    _mm512_storeu_ps(out + at + 16, v.high);
  }
  HWY_INLINE void last(Step v, uint64_t at, uint64_t n) {
    _mm512_mask_storeu_ps(out + at, first(std::min<uint64_t>(n, 16)), v.low);
    if (n > 16) _mm512_mask_storeu_ps(out + at + 16, first(n - 16), v.high);
  }
};

struct Dot {
  const float* x;
  // Two for each step of a word, so that none waits for another.
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                    _mm512_setzero_ps()};
  HWY_INLINE void step(Step v, uint64_t at, int i) {
    sums[2 * i] = _mm512_fmadd_ps(v.low, _mm512_loadu_ps(x + at), sums[2 * i]);
    sums[2 * i + 1] = _mm512_fmadd_ps(v.high, _mm512_loadu_ps(x + at + 16), sums[2 * i + 1]);
  }
  HWY_INLINE void last(Step v, uint64_t at, uint64_t n) {
    const __m512 low = _mm512_maskz_loadu_ps(first(std::min<uint64_t>(n, 16)), x + at);
    sums[0] = _mm512_fmadd_ps(v.low, low, sums[0]);
    if (n <= 16) return;
    const __m512 high = _mm512_maskz_loadu_ps(first(n - 16), x + at + 16);
    sums[1] = _mm512_fmadd_ps(v.high, high, sums[1]);
  }
  HWY_INLINE float total() const {
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
  }
};

#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2

constexpr uint64_t kStep = 8;

template <DType kType>
HWY_INLINE __m256 load_step(const uint8_t* p, uint64_t readable, uint32_t n) {
  alignas(32) std::array<uint8_t, 32> copy{};
  if (HWY_UNLIKELY(readable < kStep)) {
    std::copy_n(p, n * width_of(kType), copy.begin());
    p = copy.data();
  }
  if constexpr (kType == DType::kF32) return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  if constexpr (kType == DType::kF16) return _mm256_cvtph_ps(raw);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16));
}

template <DType kType>
HWY_INLINE __m256 expand_step(uint32_t bits, const uint8_t* p, uint64_t readable, uint32_t n) {
  const __m256 packed = load_step<kType>(p, readable, n);
  const __m256i places =
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kExpand[bits].data())));
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(packed, places), _mm256_setzero_ps(),
                          _mm256_castsi256_ps(places));
}

struct Store {
  float* out;
  HWY_INLINE void step(__m256 v, uint64_t at, int) { _mm256_storeu_ps(out + at, v); }
  HWY_INLINE void last(__m256 v, uint64_t at, uint64_t n) {
    alignas(32) std::array<float, 8> all;
    _mm256_store_ps(all.data(), v);
    std::copy_n(all.begin(), n, out + at);
  }
};

struct Dot {
  const float* x;
  __m256 sums[8] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                    _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                    _mm256_setzero_ps(), _mm256_setzero_ps()};
  HWY_INLINE void step(__m256 v, uint64_t at, int i) {
    sums[i] = _mm256_fmadd_ps(v, _mm256_loadu_ps(x + at), sums[i]);
  }
  HWY_INLINE void last(__m256 v, uint64_t at, uint64_t n) {
    alignas(32) std::array<float, 8> there{};
    std::copy_n(x + at, n, there.begin());
    sums[0] = _mm256_fmadd_ps(v, _mm256_load_ps(there.data()), sums[0]);
  }
  HWY_INLINE float total() const {
    alignas(32) std::array<float, 8> all;
    __m256 sum = sums[0];
    for (int i = 1; i < 8; ++i) sum = _mm256_add_ps(sum, sums[i]);
    _mm256_store_ps(all.data(), sum);
    return ((all[0] + all[4]) + (all[2] + all[6])) + ((all[1] + all[5]) + (all[3] + all[7]));
  }
};

#else

constexpr uint64_t kStep = 8;
using Step = std::array<float, kStep>;

template <DType kType>
HWY_INLINE Step expand_step(uint32_t bits, const uint8_t* p, uint64_t, uint32_t) {
  Step out{};
  const PackedValues values{p, kType, 0};
  for (uint64_t i = 0; bits != 0; bits &= bits - 1)
    out[static_cast<size_t>(std::countr_zero(bits))] = load_value(values, i++);
  return out;
}

struct Store {
  float* out;
  HWY_INLINE void step(const Step& v, uint64_t at, int) { std::ranges::copy(v, out + at); }
  HWY_INLINE void last(const Step& v, uint64_t at, uint64_t n) {
    std::copy_n(v.begin(), n, out + at);
  }
};

struct Dot {
  const float* x;
  Step sums{};
  HWY_INLINE void step(const Step& v, uint64_t at, int) { last(v, at, kStep); }
  HWY_INLINE void last(const Step& v, uint64_t at, uint64_t n) {
    for (size_t i = 0; i < n; ++i) sums[i] += v[i] * x[at + i];
  }
  HWY_INLINE float total() const {
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
           ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }
};

#endif

template <DType kType, class Consumer>
HWY_INLINE void for_each_step(const MaskedRow& row, uint64_t cols, Consumer& to) {
  constexpr uint64_t kWord = 64;
  constexpr uint32_t kBits = ~uint32_t{0} >> (32 - kStep);
  const uint8_t* values = row.values.data;
  uint64_t readable = row.values.readable, at = 0;
  const auto next = [&](uint64_t word, uint64_t shift) HWY_ATTR {
    const auto bits = static_cast<uint32_t>(word >> shift) & kBits;
    const auto n = static_cast<uint32_t>(std::popcount(bits));
    const auto v = expand_step<kType>(bits, values, readable, n);
    values += n * width_of(kType);
    readable -= n;
    return v;
  };
  for (; at + kWord <= cols; at += kWord) {
    const auto word = load_le<uint64_t>(row.mask + at / 8);
    for (uint64_t i = 0; i < kWord / kStep; ++i)
      to.step(next(word, i * kStep), at + i * kStep, static_cast<int>(i));
  }
  if (at == cols) return;
  const auto word = load_le<uint64_t>(row.mask + at / 8);
  for (uint64_t i = 0; at < cols; ++i, at += kStep)
    to.last(next(word, i * kStep), at, std::min(kStep, cols - at));
}

template <class Consumer>
HWY_INLINE void for_each_step(const MaskedRow& row, uint64_t cols, Consumer& to) {
  switch (row.values.type) {
    case DType::kF16:
      return for_each_step<DType::kF16>(row, cols, to);
    case DType::kBF16:
      return for_each_step<DType::kBF16>(row, cols, to);
    default:
      return for_each_step<DType::kF32>(row, cols, to);
  }
}

void expand(const MaskedRow& row, uint64_t cols, float* out) {
  Store store{out};
  for_each_step(row, cols, store);
}

float dot_of_mask(const MaskedRow& row, uint64_t cols, const float* x) {
  Dot dot{x};
  for_each_step(row, cols, dot);
  return dot.total();
}

// Lanes of values from here on.
HWY_INLINE VF load_values(const PackedValues& values, uint64_t i) {
  const DF df;
  const hn::Rebind<uint16_t, DF> d16;
  const hn::RebindToUnsigned<DF> du;
  if (values.type == DType::kF32) {
    return hn::LoadU(df, reinterpret_cast<const float*>(values.data) + i);
  }
  const auto raw = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(values.data) + i);
  if (values.type == DType::kBF16)
    return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, raw)));
  return hn::PromoteTo(df, hn::BitCast(hn::Rebind<hwy::float16_t, DF>(), raw));
}

float dot_of_columns(const IndexedRow& row, const float* x) {
  const DF df;
  const hn::RebindToSigned<DF> di;
  const size_t lanes = hn::Lanes(df);
  VF sum = hn::Zero(df);
  uint64_t i = 0;
  for (; i + lanes <= row.count; i += lanes) {
    hn::Vec<decltype(di)> columns;
    if (row.wide) {
      columns = hn::LoadU(di, reinterpret_cast<const int32_t*>(row.columns) + i);
    } else {
      const hn::Rebind<uint16_t, DF> d16;
      columns =
          hn::PromoteTo(di, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(row.columns) + i));
    }
    sum = hn::MulAdd(load_values(row.values, i), hn::GatherIndex(df, x, columns), sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(df, sum));
  for (; i < row.count; ++i) {
    const uint64_t column =
        row.wide ? load_le<uint32_t>(row.columns + 4 * i) : load_le<uint16_t>(row.columns + 2 * i);
    total += load_value(row.values, i) * x[column];
  }
  return total;
}

// kSums vectors of lanes at a time stay in registers over the whole row.
template <int kSums>
HWY_INLINE void side_by_side(const IndexedRow& row, MatrixView turned, uint64_t at, float* sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF s[kSums];
  for (int k = 0; k < kSums; ++k) s[k] = hn::Zero(df);
  for (uint64_t i = 0; i < row.count; ++i) {
    const uint64_t column =
        row.wide ? load_le<uint32_t>(row.columns + 4 * i) : load_le<uint16_t>(row.columns + 2 * i);
    const VF v = hn::Set(df, load_value(row.values, i));
    const float* x = turned.data + column * turned.shape.cols + at;
    for (int k = 0; k < kSums; ++k)
      s[k] = hn::MulAdd(v, hn::LoadU(df, x + static_cast<size_t>(k) * lanes), s[k]);
  }
  for (int k = 0; k < kSums; ++k) hn::StoreU(s[k], df, sums + at + static_cast<size_t>(k) * lanes);
}

float dot_of_blocks(const float* values, const BlockRow& row, const float* x) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF even = hn::Zero(df), odd = hn::Zero(df);
  float rest = 0;
  for (uint64_t i = 0; i < row.count; ++i, values += row.stride) {
    const float* from = x + row.columns[i];
    const uint64_t length = std::min(row.length, row.cols - row.columns[i]);
    uint64_t c = 0;
    for (; c + 2 * lanes <= length; c += 2 * lanes) {
      even = hn::MulAdd(hn::LoadU(df, values + c), hn::LoadU(df, from + c), even);
      odd = hn::MulAdd(hn::LoadU(df, values + c + lanes), hn::LoadU(df, from + c + lanes), odd);
    }
    if (c + lanes <= length) {
      VF& sum = i % 2 ? odd : even;
      sum = hn::MulAdd(hn::LoadU(df, values + c), hn::LoadU(df, from + c), sum);
      c += lanes;
    }
    for (; c < length; ++c) rest += values[c] * from[c];
  }
  return hn::GetLane(hn::SumOfLanes(df, hn::Add(even, odd))) + rest;
}

void products_of_columns(const IndexedRow& row, MatrixView turned, float* sums) {
  const uint64_t batch = turned.shape.cols, lanes = hn::Lanes(DF());
  uint64_t at = 0;
  for (; at + 4 * lanes <= batch; at += 4 * lanes) side_by_side<4>(row, turned, at, sums);
  for (; at < batch; at += lanes) side_by_side<1>(row, turned, at, sums);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(expand);
HWY_EXPORT(dot_of_mask);
HWY_EXPORT(dot_of_columns);
HWY_EXPORT(products_of_columns);
HWY_EXPORT(dot_of_blocks);

void expand_row(const MaskedRow& row, uint64_t cols, float* out) {
  HWY_DYNAMIC_DISPATCH(expand)(row, cols, out);
}

float masked_dot(const MaskedRow& row, uint64_t cols, const float* x) {
  return HWY_DYNAMIC_DISPATCH(dot_of_mask)(row, cols, x);
}

float indexed_dot(const IndexedRow& row, const float* x) {
  return HWY_DYNAMIC_DISPATCH(dot_of_columns)(row, x);
}

float blocks_dot(const float* values, const BlockRow& row, const float* x) {
  return HWY_DYNAMIC_DISPATCH(dot_of_blocks)(values, row, x);
}

void indexed_products(const IndexedRow& row, MatrixView turned, float* sums) {
  HWY_DYNAMIC_DISPATCH(products_of_columns)(row, turned, sums);
}

}  // namespace pith::form
#endif
