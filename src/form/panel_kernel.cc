#include "panel_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/panel_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// Highway's flags of this target leave the dot products of bytes out, though it is only chosen on
// processors that have them.
#if HWY_TARGET == HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// The same arithmetic one by one, for machines without vectors.

void run(const PanelProduct& p) {
  const uint64_t blocks = panel_blocks(p.panel.cols), batch = p.x->batch;
  std::vector<uint8_t> chunks(blocks * kChunks * kChunk);
  unpack_panel(p.panel, chunks.data());
  const uint64_t groups = p.halves ? 2 : 1, width = kBlockCols / groups;
  const QuantizedVectors::Sums& sums = p.halves ? p.x->half_sums : p.x->block_sums;
  for (uint64_t block = p.first_block; block < p.last_block; ++block) {
    for (uint64_t v = p.first_vector; v < p.last_vector; ++v) {
      const uint64_t index = block * batch + v;
      const int8_t* x = p.x->values.data() + index * kBlockCols;
      for (uint64_t r = 0; r < kPanelRows; ++r) {
        float& total = p.totals[(v - p.first_vector) * kPanelRows + r];
        for (uint64_t g = 0; g < groups; ++g) {
          const uint64_t sum = (groups * block + g) * batch + v;
          int32_t dot = p.bias[sum];
          for (uint64_t c = g * width; c < (g + 1) * width; ++c) {
            int32_t level = chunks[chunk_index(r, block * kBlockCols + c)];
            if (p.levels->table) {
              const auto code = static_cast<size_t>(level);
              level = p.levels->low[code] + (p.levels->wide ? 256 * p.levels->high[code] : 0);
            }
            dot += level * x[c];
          }
          const uint64_t at = ((block - p.first_block) * groups + g) * kPanelRows + r;
          const float scale = p.levels->table ? p.scales[at] * p.levels->unit : p.scales[at];
          total = std::fma(static_cast<float>(dot), scale * p.x->scales[index], total);
        }
        for (uint64_t g = 0; g < groups && p.zeros; ++g) {
          const uint64_t at = ((block - p.first_block) * groups + g) * kPanelRows + r;
          total = std::fma(p.zeros[at], sums.scaled[(groups * block + g) * batch + v], total);
        }
      }
    }
  }
}

void run_columns(const PanelColumns& p, float* out) {
  std::vector<uint8_t> chunks(panel_blocks(p.panel.cols) * kChunks * kChunk);
  unpack_panel(p.panel, chunks.data());
  const uint64_t first = p.first_block * kBlockCols;
  for (uint64_t c = first; c < p.last_block * kBlockCols; ++c) {
    const uint64_t at = (c / p.group - first / p.group) * kPanelRows;
    for (uint64_t r = 0; r < kPanelRows; ++r) {
      const float v = static_cast<float>(chunks[chunk_index(r, c)] - p.middle) * p.scales[at + r];
      out[(c - first) * kPanelRows + r] = p.zeros ? v + p.zeros[at + r] : v;
    }
  }
}

void f16_floats(const uint8_t* halves, uint64_t n, float* out) {
  for (uint64_t i = 0; i < n; ++i) out[i] = float_from_f16(load_le<uint16_t>(halves + 2 * i));
}

void byte_floats(const ByteGroups& p, float* out) {
  for (uint64_t g = 0, left = p.begin, k = 0; g < p.groups; ++g, --left) {
    if (left == 0) {
      left = p.each;
      ++k;
    }
    for (uint64_t r = 0; r < kPanelRows; ++r) {
      out[g * kPanelRows + r] =
          static_cast<float>(p.bytes[g * kPanelRows + r] - p.middle) * p.by[k * kPanelRows + r];
    }
  }
}

#else

using D8 = hn::CappedTag<uint8_t, kChunk>;
using D16 = hn::Repartition<uint16_t, D8>;
using DI = hn::Repartition<int32_t, D8>;
using DS16 = hn::Repartition<int16_t, D8>;
using DF = hn::Repartition<float, D8>;
using V8 = hn::Vec<D8>;
using VI = hn::Vec<DI>;
using VF = hn::Vec<DF>;

// sum + the products of four bytes, unsigned times signed, in each lane of 32 bits; exact.
// kByte: whether `a` may be above 127.
template <bool kByte>
HWY_INLINE VI dot4(VI sum, V8 a, VI x) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpbusd_epi32(sum.raw, a.raw, x.raw)};
#elif HWY_TARGET == HWY_AVX2
  const __m256i one = _mm256_set1_epi16(1);
  if constexpr (kByte) {
    // Products of pairs with a whole byte would not fit 16 bits: the highest bit goes by itself.
    const __m256i top = _mm256_and_si256(a.raw, _mm256_set1_epi8(-128));
    const __m256i low = _mm256_andnot_si256(_mm256_set1_epi8(-128), a.raw);
    const __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(low, x.raw), one);
    const __m256i q = _mm256_madd_epi16(_mm256_maddubs_epi16(top, x.raw), one);
    return VI{_mm256_add_epi32(sum.raw, _mm256_add_epi32(p, q))};
  } else {
    const __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(a.raw, x.raw), one);
    return VI{_mm256_add_epi32(sum.raw, p)};
  }
#else
  const DI di;
  const DS16 ds;
  // A byte times a signed byte fits 16 bits.
  const auto pairs = [&](hn::Vec<DS16> p) {
    const VI v = hn::BitCast(di, p);
    return hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(v)), hn::ShiftRight<16>(v));
  };
  const D16 du;
  const auto codes = hn::BitCast(du, a);
  const auto even = hn::BitCast(ds, hn::And(codes, hn::Set(du, 0xFF)));
  const auto odd = hn::BitCast(ds, hn::ShiftRight<8>(codes));
  const auto values = hn::BitCast(ds, x);
  const auto x_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(values));
  const auto x_odd = hn::ShiftRight<8>(values);
  return hn::Add(sum, hn::Add(pairs(hn::Mul(even, x_even)), pairs(hn::Mul(odd, x_odd))));
#endif
}

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

template <int kWidth, int kFirst, int kChunkIndex>
HWY_INLINE V8 chunk_part(const uint8_t* plane) {
  constexpr int kEach = 8 / kWidth;
  const D8 d8;
  const V8 v = hn::LoadU(d8, plane + static_cast<uint64_t>(kChunkIndex / kEach) * kChunk);
  if constexpr (kWidth == 8) {
    return v;
  } else {
    return plane_part<kWidth, kFirst, kChunkIndex % kEach>(v);
  }
}

template <int kBits, int kChunkIndex>
HWY_INLINE V8 chunk_of(const uint8_t* block) {
  // Widths of the planes, widest first.
  constexpr int kWide = kBits & 8 ? 8 : kBits & 4 ? 4 : kBits & 2 ? 2 : 1;
  constexpr int kRest = kBits & ~kWide;
  constexpr int kNext = kRest & 2 ? 2 : kRest & 1 ? 1 : 0;
  constexpr int kLast = kRest & ~kNext;
  V8 v = chunk_part<kWide, 0, kChunkIndex>(block);
  if constexpr (kNext != 0) {
    v = hn::Or(v, chunk_part<kNext, kWide, kChunkIndex>(block + kWide * kChunk));
  }
  if constexpr (kLast != 0) {
    v = hn::Or(v, chunk_part<kLast, kWide + kNext, kChunkIndex>(block + (kWide + kNext) * kChunk));
  }
  return v;
}

template <int kBits>
HWY_INLINE Block unpack_block(const uint8_t* b) {
  return {chunk_of<kBits, 0>(b), chunk_of<kBits, 1>(b), chunk_of<kBits, 2>(b),
          chunk_of<kBits, 3>(b), chunk_of<kBits, 4>(b), chunk_of<kBits, 5>(b),
          chunk_of<kBits, 6>(b), chunk_of<kBits, 7>(b)};
}

HWY_INLINE Block look_up(const uint8_t* table, const Block& b) {
  const D8 d8;
  const V8 t = hn::LoadDup128(d8, table);
  const auto at = [&](V8 v) { return hn::TableLookupBytes(t, v); };
  return {at(b.c0), at(b.c1), at(b.c2), at(b.c3), at(b.c4), at(b.c5), at(b.c6), at(b.c7)};
}

HWY_INLINE VI four_of(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return hn::Set(DI(), four);
}

template <bool kByte>
HWY_INLINE VI dot_first(VI sum, const Block& b, const int8_t* x) {
  sum = dot4<kByte>(sum, b.c0, four_of(x));
  sum = dot4<kByte>(sum, b.c1, four_of(x + 4));
  sum = dot4<kByte>(sum, b.c2, four_of(x + 8));
  return dot4<kByte>(sum, b.c3, four_of(x + 12));
}
template <bool kByte>
HWY_INLINE VI dot_last(VI sum, const Block& b, const int8_t* x) {
  sum = dot4<kByte>(sum, b.c4, four_of(x + 16));
  sum = dot4<kByte>(sum, b.c5, four_of(x + 20));
  sum = dot4<kByte>(sum, b.c6, four_of(x + 24));
  return dot4<kByte>(sum, b.c7, four_of(x + 28));
}

// One kind of scales and codes; the branches on them are the same for a whole matrix.
template <int kBits, bool kTable, bool kHalves, bool kZeros>
struct Product {
  static constexpr bool kByte = kBits == 8 || kTable;
  static constexpr uint64_t kGroups = kHalves ? 2 : 1;

  // What a block adds to the totals of vector v.
  static HWY_INLINE VF add(VF total, const PanelProduct& p, const Block& low, const Block& high,
                           uint64_t block, uint64_t v, const VF* scales, const VF* zeros) {
    const DI di;
    const DF df;
    const uint64_t batch = p.x->batch, index = block * batch + v;
    const int8_t* x = p.x->values.data() + index * kBlockCols;
    const VF by = hn::Set(df, p.x->scales[index]);
    const uint64_t sums = kHalves ? 2 * block * batch + v : index;
    VI first = hn::Set(di, p.bias[sums]);
    VI last = kHalves ? hn::Set(di, p.bias[sums + batch]) : hn::Zero(di);
    if (kTable && p.levels->wide) {
      first = hn::Add(first, hn::ShiftLeft<8>(dot_first<kByte>(hn::Zero(di), high, x)));
      last = hn::Add(last, hn::ShiftLeft<8>(dot_last<kByte>(hn::Zero(di), high, x)));
    }
    first = dot_first<kByte>(first, low, x);
    last = dot_last<kByte>(last, low, x);
    const float* scaled = kHalves ? p.x->half_sums.scaled.data() : p.x->block_sums.scaled.data();
    if constexpr (kHalves) {
      total = hn::MulAdd(hn::ConvertTo(df, first), hn::Mul(scales[0], by), total);
      total = hn::MulAdd(hn::ConvertTo(df, last), hn::Mul(scales[1], by), total);
      if constexpr (kZeros) {
        total = hn::MulAdd(zeros[0], hn::Set(df, scaled[sums]), total);
        total = hn::MulAdd(zeros[1], hn::Set(df, scaled[sums + batch]), total);
      }
    } else {
      total = hn::MulAdd(hn::ConvertTo(df, hn::Add(first, last)), hn::Mul(scales[0], by), total);
      if constexpr (kZeros) total = hn::MulAdd(zeros[0], hn::Set(df, scaled[sums]), total);
    }
    return total;
  }

  static void run(const PanelProduct& p) {
    const DF df;
    const size_t width = hn::Lanes(D8());
    constexpr uint64_t kBlockBytes = kChunk * static_cast<uint64_t>(kBits);
    const VF unit = hn::Set(df, p.levels->unit);
    for (size_t part = 0; part < kChunk; part += width) {
      const size_t lane = part / 4;
      const uint8_t* codes = p.panel.codes + p.first_block * kBlockBytes + part;
      float* totals = p.totals + lane;
      const bool one = p.last_vector - p.first_vector == 1;
      VF only = hn::LoadU(df, totals);
      for (uint64_t block = p.first_block; block < p.last_block; ++block, codes += kBlockBytes) {
        Block low = unpack_block<kBits>(codes), high = low;
        if constexpr (kTable) {
          if (p.levels->wide) high = look_up(p.levels->high.data(), low);
          low = look_up(p.levels->low.data(), low);
        }
        VF scales[kGroups], zeros[kGroups];
        for (uint64_t g = 0; g < kGroups; ++g) {
          const uint64_t at = ((block - p.first_block) * kGroups + g) * kPanelRows + lane;
          scales[g] = hn::LoadU(df, p.scales + at);
          if constexpr (kTable) scales[g] = hn::Mul(scales[g], unit);
          zeros[g] = kZeros ? hn::LoadU(df, p.zeros + at) : hn::Zero(df);
        }
        if (one) {
          only = add(only, p, low, high, block, p.first_vector, scales, zeros);
          continue;
        }
        for (uint64_t v = p.first_vector; v < p.last_vector; ++v) {
          float* total = totals + (v - p.first_vector) * kPanelRows;
          hn::StoreU(add(hn::LoadU(df, total), p, low, high, block, v, scales, zeros), df, total);
        }
      }
      if (one) hn::StoreU(only, df, totals);
    }
  }
};

template <int kBits, bool kTable>
void run_bits(const PanelProduct& p) {
  if (p.zeros) {
    return p.halves ? Product<kBits, kTable, true, true>::run(p)
                    : Product<kBits, kTable, false, true>::run(p);
  }
  return p.halves ? Product<kBits, kTable, true, false>::run(p)
                  : Product<kBits, kTable, false, false>::run(p);
}

void run(const PanelProduct& p) {
  if (p.levels->table) {
    switch (p.panel.bits) {
      case 1:
        return run_bits<1, true>(p);
      case 2:
        return run_bits<2, true>(p);
      case 3:
        return run_bits<3, true>(p);
      case 4:
        return run_bits<4, true>(p);
      default:  // that were decoded to bytes
        return run_bits<8, true>(p);
    }
  }
  switch (p.panel.bits) {
    case 1:
      return run_bits<1, false>(p);
    case 2:
      return run_bits<2, false>(p);
    case 3:
      return run_bits<3, false>(p);
    case 4:
      return run_bits<4, false>(p);
    case 5:
      return run_bits<5, false>(p);
    case 6:
      return run_bits<6, false>(p);
    case 7:
      return run_bits<7, false>(p);
    default:
      return run_bits<8, false>(p);
  }
}

template <int kBits>
void columns(const PanelColumns& p, float* out) {
  const DI di;
  const DF df;
  const size_t width = hn::Lanes(D8());
  constexpr uint64_t kBlockBytes = kChunk * static_cast<uint64_t>(kBits);
  const VI least = hn::Set(di, p.middle), mask = hn::Set(di, 0xFF);
  for (size_t part = 0; part < kChunk; part += width) {
    const size_t lane = part / 4;
    const uint8_t* codes = p.panel.codes + p.first_block * kBlockBytes + part;
    // Columns that are left of the group.
    uint64_t left = p.group - p.first_block * kBlockCols % p.group, at = lane;
    VF scale = hn::LoadU(df, p.scales + at);
    VF zero = p.zeros ? hn::LoadU(df, p.zeros + at) : hn::Zero(df);
    float* to = out + lane;
    const auto put = [&](V8 chunk) HWY_ATTR {
      if (left == 0) {
        left = p.group;
        at += kPanelRows;
        scale = hn::LoadU(df, p.scales + at);
        if (p.zeros) zero = hn::LoadU(df, p.zeros + at);
      }
      left -= 4;
      const VI four = hn::BitCast(di, chunk);
      const auto column = [&](VI code) HWY_ATTR {
        const VF v = hn::Mul(hn::ConvertTo(df, hn::Sub(hn::And(code, mask), least)), scale);
        // Without a zero nothing is added: that would make +0 of -0.
        hn::StoreU(p.zeros ? hn::Add(v, zero) : v, df, to);
        to += kPanelRows;
      };
      column(four);
      column(hn::ShiftRight<8>(four));
      column(hn::ShiftRight<16>(four));
      column(hn::ShiftRight<24>(four));
    };
    for (uint64_t b = p.first_block; b < p.last_block; ++b, codes += kBlockBytes) {
      const Block block = unpack_block<kBits>(codes);
      put(block.c0);
      put(block.c1);
      put(block.c2);
      put(block.c3);
      put(block.c4);
      put(block.c5);
      put(block.c6);
      put(block.c7);
    }
  }
}

void run_columns(const PanelColumns& p, float* out) {
  switch (p.panel.bits) {
    case 1:
      return columns<1>(p, out);
    case 2:
      return columns<2>(p, out);
    case 3:
      return columns<3>(p, out);
    case 4:
      return columns<4>(p, out);
    case 5:
      return columns<5>(p, out);
    case 6:
      return columns<6>(p, out);
    case 7:
      return columns<7>(p, out);
    default:
      return columns<8>(p, out);
  }
}

void f16_floats(const uint8_t* halves, uint64_t n, float* out) {
  const DF df;
  const hn::Rebind<hwy::float16_t, DF> dh;
  const size_t lanes = hn::Lanes(df);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(halves + 2 * i));
    hn::StoreU(hn::PromoteTo(df, v), df, out + i);
  }
  for (; i < n; ++i) out[i] = float_from_f16(load_le<uint16_t>(halves + 2 * i));
}

void byte_floats(const ByteGroups& p, float* out) {
  const DI di;
  const DF df;
  const hn::Rebind<uint8_t, DF> d8;
  const VI middle = hn::Set(di, p.middle);
  for (size_t lane = 0; lane < kPanelRows; lane += hn::Lanes(df)) {
    const float* by = p.by + lane;
    uint64_t left = p.begin;
    VF times = hn::LoadU(df, by);
    for (uint64_t g = 0; g < p.groups; ++g, --left) {
      if (left == 0) {
        left = p.each;
        by += kPanelRows;
        times = hn::LoadU(df, by);
      }
      const uint64_t at = g * kPanelRows + lane;
      const VI v = hn::Sub(hn::PromoteTo(di, hn::LoadU(d8, p.bytes + at)), middle);
      hn::StoreU(hn::Mul(hn::ConvertTo(df, v), times), df, out + at);
    }
  }
}

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(run);
HWY_EXPORT(run_columns);
HWY_EXPORT(f16_floats);
HWY_EXPORT(byte_floats);

void multiply_panel(const PanelProduct& product) { HWY_DYNAMIC_DISPATCH(run)(product); }

void decode_columns(const PanelColumns& columns, float* out) {
  HWY_DYNAMIC_DISPATCH(run_columns)(columns, out);
}

void floats_of_f16(const uint8_t* halves, uint64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(f16_floats)(halves, n, out);
}

void floats_of_bytes(const ByteGroups& from, float* out) {
  HWY_DYNAMIC_DISPATCH(byte_floats)(from, out);
}

void pad_panel(const Panel& panel, uint8_t* out) {
  const uint64_t bytes = 4 * panel.rows;
  const uint64_t vectors = panel_blocks(panel.cols) * static_cast<uint64_t>(panel.bits);
  for (uint64_t i = 0; i < vectors; ++i) {
    std::memcpy(out + i * kChunk, panel.codes + i * bytes, bytes);
    std::memset(out + i * kChunk + bytes, 0, kChunk - bytes);
  }
}

void bias_of(const QuantizedVectors::Sums& sums, int32_t middle, int32_t* bias) {
  for (size_t i = 0; i < sums.values.size(); ++i) bias[i] = -middle * sums.values[i];
}

}  // namespace pith::form
#endif
