#include "panel_kernel.h"

// Nothing is gained on these: machines that have them and no more are rare, and AVX2 has the better
// instruction for products of bytes.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/panel_kernel.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "dot_bytes-inl.h"
#include "panel_vectors-inl.h"

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

const float* floats_of(const KernelScales& p, uint64_t n, std::vector<float>& room) {
  if (!p.bytes) return p.floats;
  room.resize(n * kPanelRows);
  floats_of_groups(p, n, room.data());
  return room.data();
}

void run(const PanelProduct& p) {
  const uint64_t blocks = panel_blocks(p.panel.cols), batch = p.x->batch;
  std::vector<uint8_t> chunks(blocks * kChunks * kChunk);
  unpack_panel(p.panel, chunks.data());
  const uint64_t groups = p.halves ? 2 : 1, width = kBlockCols / groups;
  const QuantizedVectors::Sums& sums = p.halves ? p.x->half_sums : p.x->block_sums;
  const uint64_t count = (p.last_block - p.first_block) * groups;
  std::vector<float> scale_floats, zero_floats;
  const float* const scales = floats_of(p.scales, count, scale_floats);
  const float* const zeros = floats_of(p.zeros, count, zero_floats);
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
          const float scale = p.levels->table ? scales[at] * p.levels->unit : scales[at];
          total = std::fma(static_cast<float>(dot), scale * p.x->scales[index], total);
        }
        for (uint64_t g = 0; g < groups && zeros; ++g) {
          const uint64_t at = ((block - p.first_block) * groups + g) * kPanelRows + r;
          total = std::fma(zeros[at], sums.scaled[(groups * block + g) * batch + v], total);
        }
      }
    }
  }
}

#else

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

// One kind of scales and codes.
template <int kBits, bool kTable, bool kHalves, bool kBytes>
class Product {
 public:
  static void run(const PanelProduct& p) {
    const bool one = p.last_vector - p.first_vector == 1;
    for (size_t part = 0; part < kChunk; part += hn::Lanes(D8())) {
      Product product(p, part);
      if (one) {
        product.run_one();
      } else {
        product.run_batch();
      }
    }
  }

 private:
  static constexpr bool kByte = kBits == 8 || kTable;
  static constexpr uint64_t kBlockBytes = kChunk * static_cast<uint64_t>(kBits);
  // Bytes ahead that are asked for, where the processor alone asks too late: with other streams
  // beside the codes, and where these do not lie in powers of two. Elsewhere it is up to a quarter
  // slower.
  static constexpr bool kFetch = kBytes || (kBits & (kBits - 1)) != 0;
  static constexpr uint64_t kAhead = 1536;

  // A block's levels, and what its groups multiply.
  struct Terms {
    Block low, high;
    VF scale[2], zero[2];
  };
  // What a vector has for a block.
  struct Inputs {
    const int8_t* x;
    const float* scale;
    // Of the whole block, or of its first half; those of the second are `half` further.
    const int32_t* bias;
    const float* sum;
    uint64_t half;
  };

  Product(const PanelProduct& p, size_t part)
      : p_(p),
        totals_(p.totals + part / 4),
        codes_(p.panel.codes + p.first_block * kBlockBytes + part),
        scales_(p.scales, part / 4),
        zeros_(p.zeros.floats ? p.zeros : p.scales, part / 4),
        has_zeros_(p.zeros.floats != nullptr),
        unit_(hn::Set(DF(), p.levels->unit)),
        wide_(kTable && p.levels->wide) {}

  HWY_INLINE Terms next_block() {
    Terms t;
    if constexpr (kFetch) {
      for (uint64_t i = 0; i < kBlockBytes; i += kChunk) hwy::Prefetch(codes_ + kAhead + i);
    }
    t.low = unpack_block<kBits>(codes_);
    codes_ += kBlockBytes;
    if constexpr (kTable) {
      t.high = wide_ ? look_up(p_.levels->high.data(), t.low) : t.low;
      t.low = look_up(p_.levels->low.data(), t.low);
    }
    t.scale[0] = scales_.next();
    if constexpr (kHalves) t.scale[1] = scales_.next();
    if (has_zeros_) {
      t.zero[0] = zeros_.next();
      if constexpr (kHalves) t.zero[1] = zeros_.next();
    }
    if constexpr (kTable) {
      t.scale[0] = hn::Mul(t.scale[0], unit_);
      if constexpr (kHalves) t.scale[1] = hn::Mul(t.scale[1], unit_);
    }
    return t;
  }

  Inputs inputs(uint64_t block, uint64_t v) const {
    const QuantizedVectors& x = *p_.x;
    const uint64_t index = block * x.batch + v;
    const uint64_t sums = kHalves ? 2 * block * x.batch + v : index;
    const float* sum = kHalves ? x.half_sums.scaled.data() : x.block_sums.scaled.data();
    return {x.values.data() + index * kBlockCols, x.scales.data() + index, p_.bias + sums,
            sum + sums, x.batch};
  }

  HWY_INLINE VF add(VF total, const Terms& t, const Inputs& in) const {
    const DI di;
    const DF df;
    const VF by = hn::Set(df, *in.scale);
    VI first = hn::Set(di, *in.bias);
    VI last = kHalves ? hn::Set(di, in.bias[in.half]) : hn::Zero(di);
    if (kTable && wide_) {
      first = hn::Add(first, hn::ShiftLeft<8>(dot_first<kByte>(hn::Zero(di), t.high, in.x)));
      last = hn::Add(last, hn::ShiftLeft<8>(dot_last<kByte>(hn::Zero(di), t.high, in.x)));
    }
    first = dot_first<kByte>(first, t.low, in.x);
    last = dot_last<kByte>(last, t.low, in.x);
    if constexpr (kHalves) {
      total = hn::MulAdd(hn::ConvertTo(df, first), hn::Mul(t.scale[0], by), total);
      total = hn::MulAdd(hn::ConvertTo(df, last), hn::Mul(t.scale[1], by), total);
    } else {
      total = hn::MulAdd(hn::ConvertTo(df, hn::Add(first, last)), hn::Mul(t.scale[0], by), total);
    }
    if (has_zeros_) {
      total = hn::MulAdd(t.zero[0], hn::Set(df, *in.sum), total);
      if constexpr (kHalves) total = hn::MulAdd(t.zero[1], hn::Set(df, in.sum[in.half]), total);
    }
    return total;
  }

  HWY_INLINE void run_one() {
    const DF df;
    const uint64_t batch = p_.x->batch, sums = kHalves ? 2 * batch : batch;
    Inputs in = inputs(p_.first_block, p_.first_vector);
    VF total = hn::LoadU(df, totals_);
    for (uint64_t block = p_.first_block; block < p_.last_block; ++block) {
      total = add(total, next_block(), in);
      in.x += batch * kBlockCols;
      in.scale += batch;
      in.bias += sums;
      in.sum += sums;
    }
    hn::StoreU(total, df, totals_);
  }

  HWY_INLINE void run_batch() {
    const DF df;
    const uint64_t vectors = p_.last_vector - p_.first_vector;
    for (uint64_t block = p_.first_block; block < p_.last_block; ++block) {
      const Terms terms = next_block();
      Inputs in = inputs(block, p_.first_vector);
      float* total = totals_;
      for (uint64_t v = 0; v < vectors; ++v, total += kPanelRows) {
        hn::StoreU(add(hn::LoadU(df, total), terms, in), df, total);
        in.x += kBlockCols;
        ++in.scale;
        ++in.bias;
        ++in.sum;
      }
    }
  }

  const PanelProduct& p_;
  float* totals_;
  const uint8_t* codes_;
  Groups<kBytes> scales_, zeros_;
  bool has_zeros_;
  VF unit_;
  bool wide_;
};

template <int kBits, bool kTable, bool kBytes>
void run_scales(const PanelProduct& p) {
  return p.halves ? Product<kBits, kTable, true, kBytes>::run(p)
                  : Product<kBits, kTable, false, kBytes>::run(p);
}

template <int kBits, bool kTable>
void run_bits(const PanelProduct& p) {
  if constexpr (reads_bytes(kBits, kTable)) {
    if (p.scales.bytes) return run_scales<kBits, kTable, true>(p);
  }
  run_scales<kBits, kTable, false>(p);
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
  with_constant_bits(p.panel.bits, [&](auto bits) { run_bits<bits(), false>(p); });
}

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(run);

void multiply_panel(const PanelProduct& product) { HWY_DYNAMIC_DISPATCH(run)(product); }

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
