// The order in which products are summed, and the loop that keeps sums in registers: included once
// for each instruction set by float_product.cc and exponent_kernel.cc.
//
// A dot product has 16 sums: sum i takes the columns i, i + 16, i + 32, … in this order, each by a
// fused multiply and add, with zeros after the last column. Then a fixed tree adds them up. A
// register holds all 16 or a part of them, so the result does not depend on its width, nor on how
// many rows and vectors are taken at a time.
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr uint64_t kSums = 16;
using SumTag = hn::CappedTag<float, kSums>;
using SumVec = hn::Vec<SumTag>;

HWY_INLINE float sum_of(const float* HWY_RESTRICT sums) {
  float s[8];
  for (int i = 0; i < 8; ++i) s[i] = sums[i] + sums[i + 8];
  for (int i = 0; i < 4; ++i) s[i] += s[i + 4];
  return (s[0] + s[2]) + (s[1] + s[3]);
}

// How the elements of a type become floats.
struct LoadF32 {
  static constexpr uint64_t kBytes = 4;
  static HWY_INLINE SumVec load(const uint8_t* p) {
    return hn::LoadU(SumTag(), reinterpret_cast<const float*>(p));
  }
};

struct LoadBF16 {
  static constexpr uint64_t kBytes = 2;
  static HWY_INLINE SumVec load(const uint8_t* p) {
    const hn::Rebind<uint16_t, SumTag> words;
    const hn::Rebind<uint32_t, SumTag> wide;
    const auto w = hn::LoadU(words, reinterpret_cast<const uint16_t*>(p));
    return hn::BitCast(SumTag(), hn::ShiftLeft<16>(hn::PromoteTo(wide, w)));
  }
};

// Every bit of NaNs too.
struct LoadF16Exactly {
  static constexpr uint64_t kBytes = 2;
  static HWY_INLINE SumVec load(const uint8_t* p) {
    const SumTag d;
    const hn::Rebind<uint16_t, SumTag> words;
    const hn::Rebind<hwy::float16_t, SumTag> halves;
    const hn::Rebind<uint32_t, SumTag> wide;
    const auto narrow = hn::LoadU(words, reinterpret_cast<const uint16_t*>(p));
    const SumVec finite = hn::PromoteTo(d, hn::BitCast(halves, narrow));
    const auto w = hn::PromoteTo(wide, narrow);
    const auto magnitude = hn::And(w, hn::Set(wide, 0x7FFF));
    const auto special = hn::Or(hn::Or(hn::ShiftLeft<13>(magnitude), hn::Set(wide, 0x7F800000)),
                                hn::ShiftLeft<16>(hn::And(w, hn::Set(wide, 0x8000))));
    const auto is_special = hn::RebindMask(d, hn::Gt(magnitude, hn::Set(wide, 0x7BFF)));
    return hn::IfThenElse(is_special, hn::BitCast(d, special), finite);
  }
};

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
// An instruction, which makes signaling NaNs quiet; what Highway has elsewhere knows no infinities.
struct LoadF16 {
  static constexpr uint64_t kBytes = 2;
  static HWY_INLINE SumVec load(const uint8_t* p) {
    const hn::Rebind<uint16_t, SumTag> words;
    const hn::Rebind<hwy::float16_t, SumTag> halves;
    const auto w = hn::LoadU(words, reinterpret_cast<const uint16_t*>(p));
    return hn::PromoteTo(SumTag(), hn::BitCast(halves, w));
  }
};
#else
using LoadF16 = LoadF16Exactly;
#endif

// n elements, one after the other.
template <class Load>
HWY_INLINE void convert(const uint8_t* from, uint64_t n, float* out) {
  const SumTag d;
  const uint64_t lanes = hn::Lanes(d);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Load::load(from + Load::kBytes * i), d, out + i);
  if (i == n) return;
  uint8_t last[kSums * Load::kBytes] = {};
  float floats[kSums];
  std::memcpy(last, from + Load::kBytes * i, Load::kBytes * (n - i));
  hn::StoreU(Load::load(last), d, floats);
  std::memcpy(out + i, floats, sizeof(float) * (n - i));
}

// sums[(r * V + v) * kSums + i] of R rows and V vectors: adds n products, a multiple of kSums. With
// kFetch the next R rows are fetched from memory meanwhile: of several short streams the processor
// finds but a part by itself.
template <class Load, int R, int V, bool kFetch = false>
HWY_INLINE void add_products(const uint8_t* HWY_RESTRICT rows, uint64_t row_bytes,
                             const float* HWY_RESTRICT x, uint64_t x_stride, uint64_t n,
                             float* HWY_RESTRICT sums) {
  const SumTag d;
  for (uint64_t lane = 0; lane < kSums; lane += hn::Lanes(d)) {
    SumVec sum[R][V];
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) sum[r][v] = hn::LoadU(d, sums + (r * V + v) * kSums + lane);
    }
    for (uint64_t k = lane; k < n; k += kSums) {
      SumVec xs[V];
      for (int v = 0; v < V; ++v) xs[v] = hn::LoadU(d, x + static_cast<uint64_t>(v) * x_stride + k);
      for (int r = 0; r < R; ++r) {
        const SumVec w = Load::load(rows + static_cast<uint64_t>(r) * row_bytes + k * Load::kBytes);
        if constexpr (kFetch) {
          // Into the second cache. A line holds several steps; to fetch it again costs little.
          __builtin_prefetch(rows + (R + static_cast<uint64_t>(r)) * row_bytes + k * Load::kBytes,
                             0, 2);
        }
        for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(w, xs[v], sum[r][v]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) hn::StoreU(sum[r][v], d, sums + (r * V + v) * kSums + lane);
    }
  }
}

// The same for the last n < kSums columns.
template <class Load, int R, int V>
HWY_INLINE void add_last_products(const uint8_t* rows, uint64_t row_bytes, const float* x,
                                  uint64_t x_stride, uint64_t n, float* sums) {
  if (n == 0) return;
  uint8_t last[R * kSums * Load::kBytes] = {};
  float last_x[V * kSums] = {};
  for (uint64_t r = 0; r < R; ++r) {
    std::memcpy(last + r * kSums * Load::kBytes, rows + r * row_bytes, n * Load::kBytes);
  }
  for (uint64_t v = 0; v < V; ++v) {
    std::memcpy(last_x + v * kSums, x + v * x_stride, n * sizeof(float));
  }
  add_products<Load, R, V>(last, kSums * Load::kBytes, last_x, kSums, kSums, sums);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
