#include "code_rows.h"

// As in panel_kernel.cc.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/code_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "code_chunks-inl.h"

#if HWY_TARGET == HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

constexpr uint64_t kMostVectors = 4, kHalfCols = kBlockCols / 2;
// Added to a float of less than 2^22 and taken away again, it leaves the nearest integer; between
// the two, the float's lowest bits are that integer's.
constexpr float kMagic = 3 << 22;

using F = hn::CappedTag<float, kPanelRows>;

// Bytes that a weight is rounded to. With one, the rounding is less than a quarter of what codes
// of so few bits are off by.
template <class Codes>
constexpr int kBytes = Codes::kBits <= 4 ? 1 : 2;
// The largest weight: its rounding and what the one before left over stay within the bytes.
template <class Codes>
constexpr float kRange = kBytes<Codes> == 1 ? 126 : 126 * 256;

// What the loops over codes read: rows up to a multiple of 16.
struct Room {
  alignas(64) std::array<std::array<float, kCodeRows>, kMostVectors> weights;
  alignas(64) std::array<float, kCodeRows> scales;
  alignas(64) std::array<std::array<float, kCodeRows>, kMostVectors> products;  // of both
  // Of each vector's products the low and the high bytes: those of four rows four times, as codes
  // of four columns meet them.
  alignas(64) std::array<std::array<std::array<int8_t, 4 * kCodeRows>, 2>, kMostVectors> bytes;
  alignas(64) std::array<std::array<std::array<int32_t, kPanelRows>, 2>, kMostVectors> bias;
  std::array<float, kMostVectors> units;  // of the products
  Staged staged;
};

// Calls f with every number below n as a constant: arrays that are indexed by these stay in
// registers.
template <int kCount, class F>
HWY_INLINE void for_each_below(const F& f) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    (f(std::integral_constant<int, kIndex>()), ...);
  }
  (std::make_integer_sequence<int, kCount>());
}

// Weights times scales, and what one of a range is worth: NaN where something is not finite.
template <int kCount>
HWY_INLINE void multiply_scales(uint64_t rows, float range, Room& room) {
  const F d;
  hn::Vec<F> most[kCount], sum[kCount];  // NaN where something is not finite
  for_each_below<kCount>([&](auto v) { most[v()] = sum[v()] = hn::Zero(d); });
  for (uint64_t r = 0; r < rows; r += hn::Lanes(d)) {
    const auto scale = hn::Load(d, room.scales.data() + r);
    for_each_below<kCount>([&](auto v) {
      const auto x = hn::Mul(hn::Load(d, room.weights[v()].data() + r), scale);
      hn::Store(x, d, room.products[v()].data() + r);
      most[v()] = hn::Max(most[v()], hn::Abs(x));
      sum[v()] = hn::MulAdd(x, hn::Zero(d), sum[v()]);
    });
  }
  for_each_below<kCount>([&](auto v) {
    const float largest = hn::GetLane(hn::MaxOfLanes(d, most[v()]));
    const bool finite = hn::GetLane(hn::SumOfLanes(d, sum[v()])) == 0;
    room.units[v()] = finite ? largest / range : NAN;
  });
}

// Rounds the products to bytes. What is lost of one goes to the next 16 rows on: so many small
// ones beside a large one keep their sum.
template <int kCount, int kOfWeight>
HWY_INLINE void round_products(uint64_t rows, int32_t middle, Room& room) {
  const F d;
  const D8 d8;
  const DI di;
  alignas(16) static constexpr uint8_t kLow[16] = {0, 4, 8, 12, 0, 4, 8, 12,
                                                   0, 4, 8, 12, 0, 4, 8, 12};
  const V8 low = hn::LoadDup128(d8, kLow), high = hn::Add(low, hn::Set(d8, 1)),
           code = hn::Set(d8, static_cast<uint8_t>(middle));
  const auto magic = hn::Set(d, kMagic);
  hn::Vec<F> inverse[kCount];
  VI bias[kCount][kOfWeight];
  for_each_below<kCount>([&](auto v) {
    // A largest one so small that its inverse is infinite counts as zero.
    const float i = 1 / room.units[v()];
    inverse[v()] = hn::Set(d, std::isfinite(i) ? i : 0);
    for_each_below<kOfWeight>([&](auto k) { bias[v()][k()] = hn::Zero(di); });
  });
  for (uint64_t part = 0; part < kPanelRows; part += hn::Lanes(d)) {
    hn::Vec<F> left[kCount];
    for_each_below<kCount>([&](auto v) { left[v()] = hn::Zero(d); });
    for (uint64_t r = part; r < rows; r += kPanelRows) {
      for_each_below<kCount>([&](auto v) {
        const auto x =
            hn::Add(hn::Mul(hn::Load(d, room.products[v()].data() + r), inverse[v()]), left[v()]);
        const auto moved = hn::Add(x, magic);
        left[v()] = hn::Sub(x, hn::Sub(moved, magic));
        const auto store = [&](auto k, VI words, V8 which) {
          const VI b = hn::BitCast(di, hn::TableLookupBytes(hn::BitCast(d8, words), which));
          hn::Store(b, di, reinterpret_cast<int32_t*>(room.bytes[v()][k()].data() + 4 * r));
          bias[v()][k()] = dot4<true>(bias[v()][k()], code, b);
        };
        const VI words = hn::BitCast(di, moved);
        store(std::integral_constant<int, 0>(), words, low);
        // 256 * high + low, where low is signed as well.
        if constexpr (kOfWeight == 2)
          store(std::integral_constant<int, 1>(), hn::Add(words, hn::Set(di, 128)), high);
      });
    }
  }
  for_each_below<kCount>([&](auto v) {
    for_each_below<kOfWeight>(
        [&](auto k) { hn::Store(hn::Neg(bias[v()][k()]), di, room.bias[v()][k()].data()); });
  });
}

// Of two chunks the sums of all lanes that are for one column.
template <class D>
HWY_INLINE auto two_chunks(D d, hn::Vec<D> a, hn::Vec<D> b) {
  const auto mixed = hn::SwapAdjacentBlocks(hn::OddEvenBlocks(a, b));
  const auto both = hn::Add(hn::OddEvenBlocks(b, a), mixed);
  if constexpr (hn::MaxLanes(D()) == 16) {
    const hn::Half<D> half;
    return hn::Add(hn::LowerHalf(half, both), hn::UpperHalf(half, both));
  } else {
    (void)d;
    return both;
  }
}

// What becomes of the sums of 16 columns: out += sum * unit + zero.
struct Finish {
  float unit = 0, zero = 0;
  uint64_t n = kHalfCols;  // columns that are there
  float* out = nullptr;
};

// The lanes of sums that belong to the columns from `at` on.
template <class V>
HWY_INLINE void finish(const Finish& f, uint64_t at, V sums) {
  const hn::DFromV<V> di;
  const hn::Rebind<float, hn::DFromV<V>> d;
  const auto all = hn::MulAdd(hn::ConvertTo(d, sums), hn::Set(d, f.unit), hn::Set(d, f.zero));
  if (HWY_LIKELY(f.n == kHalfCols))
    return hn::StoreU(hn::Add(hn::LoadU(d, f.out + at), all), d, f.out + at);
  alignas(64) std::array<float, kHalfCols> last;
  hn::Store(all, d, last.data());
  for (uint64_t i = 0; i < hn::Lanes(di) && at + i < f.n; ++i) f.out[at + i] += last[i];
}

// sums: of kStep chunks, from chunk kFirst of the half block on.
template <int kFirst, int kStep, class D>
HWY_INLINE void finish_chunks(D di, const Finish& f, const hn::Vec<D>* sums) {
  constexpr uint64_t kAt = 4 * kFirst;
  if constexpr (hn::MaxLanes(D()) == 4) {
    for (uint64_t k = 0; k < kStep; ++k) finish(f, kAt + 4 * k, sums[k]);
  } else if constexpr (hn::MaxLanes(D()) == 16 && kStep == 4) {
    finish(f, kAt,
           hn::Combine(di, two_chunks(di, sums[2], sums[3]), two_chunks(di, sums[0], sums[1])));
  } else {
    finish(f, kAt, two_chunks(di, sums[0], sums[1]));
    if constexpr (kStep == 4) finish(f, kAt + 8, two_chunks(di, sums[2], sums[3]));
  }
}

// The columns of half a block, kStep chunks at a time.
template <class Codes, int kCount, int kHalf, int kStep, int kFirst = 0>
HWY_INLINE void sum_half(const Codes& codes, uint64_t panels, const Room& room,
                         const Finish* finishes) {
  const DI di;
  constexpr int kChunkIndex = 4 * kHalf + kFirst, kOfWeight = kBytes<Codes>;
  const auto load = [&](const auto* from) {
    return hn::Load(di, reinterpret_cast<const int32_t*>(from));
  };
  // Of each vector and chunk, with the low and the high bytes.
  VI sums[kOfWeight][kStep * kCount];
  for_each_below<kCount * kStep>([&](auto i) {
    for_each_below<kOfWeight>(
        [&](auto k) { sums[k()][i()] = load(room.bias[i() / kStep][k()].data()); });
  });
  for (uint64_t panel = 0; panel < panels; ++panel) {
    for (size_t part = 0; part < kChunk; part += hn::Lanes(D8())) {
      V8 c[kStep];
      codes.template load<kChunkIndex, kStep>(panel, part, c);
      const size_t at = panel * kChunk + part;
      for_each_below<kCount>([&](auto v) {
        for_each_below<kOfWeight>([&](auto k) {
          const VI weights = load(room.bytes[v()][k()].data() + at);
          for_each_below<kStep>([&](auto i) {
            constexpr int kAt = v() * kStep + i();
            sums[k()][kAt] = dot4<Codes::kByte>(sums[k()][kAt], c[i()], weights);
          });
        });
      });
    }
  }
  for_each_below<kCount>([&](auto v) {
    VI whole[kStep];
    for_each_below<kStep>([&](auto i) {
      constexpr int kAt = v() * kStep + i();
      whole[i()] = sums[0][kAt];
      if constexpr (kOfWeight == 2)
        whole[i()] = hn::Add(whole[i()], hn::ShiftLeft<8>(sums[1][kAt]));
    });
    finish_chunks<kFirst, kStep>(di, finishes[v()], whole);
  });
  if constexpr (kFirst + kStep < 4) {
    sum_half<Codes, kCount, kHalf, kStep, kFirst + kStep>(codes, panels, room, finishes);
  }
}

// The sum of weights times zero points of a group.
HWY_INLINE float sum_zeros(const float* weights, const float* zeros, uint64_t panels,
                           uint64_t stride) {
  std::array<float, kPanelRows> sums{};
  for (uint64_t p = 0; p < panels; ++p) {
    for (uint64_t r = 0; r < kPanelRows; ++r)
      sums[r] += weights[p * kPanelRows + r] * zeros[p * stride + r];
  }
  float sum = 0;
  for (const float s : sums) sum += s;
  return sum;
}

template <class Codes, int kCount>
void add_vectors(const CodeRows& rows, const Codes& given, RowSums sums) {
  // As many sums as registers hold beside codes and weights.
  constexpr int kStep = kCount * kBytes<Codes> == 8 ? 2 : 4;
  Room room;
  Codes codes = given;
  const uint64_t panels = panels_of(rows.rows), padded = panels * kPanelRows;
  for (uint64_t v = 0; v < kCount; ++v) {
    float* to = room.weights[v].data();
    std::copy_n(sums.weights + v * sums.weight_stride, rows.rows, to);
    std::fill(to + rows.rows, to + padded, 0.0F);
  }
  const uint64_t length = std::min(rows.group, panel_blocks(rows.cols) * kBlockCols),
                 groups = (rows.cols + length - 1) / length;
  for (uint64_t begin = 0, group = 0; begin < rows.cols; begin += length, ++group) {
    const uint64_t end = std::min(begin + length, rows.cols);
    codes.stage(rows, begin, panels, room.staged);
    codes.scales(rows, groups, group, room.scales.data());
    multiply_scales<kCount>(padded, kRange<Codes>, room);
    round_products<kCount, kBytes<Codes>>(padded, rows.middle, room);
    std::array<Finish, kCount> finishes;
    for (uint64_t v = 0; v < kCount; ++v) {
      finishes[v].unit = room.units[v];
      if (rows.zeros)
        finishes[v].zero = sum_zeros(room.weights[v].data(), rows.zeros + group * kPanelRows,
                                     panels, groups * kPanelRows);
    }
    for (uint64_t at = begin; at < end; at += kHalfCols) {
      codes.go_to(at / kBlockCols);
      for (uint64_t v = 0; v < kCount; ++v) {
        finishes[v].out = sums.out + v * sums.stride + at;
        finishes[v].n = std::min(kHalfCols, end - at);
      }
      if (at % kBlockCols == 0) {
        sum_half<Codes, kCount, 0, kStep>(codes, panels, room, finishes.data());
      } else {
        sum_half<Codes, kCount, 1, kStep>(codes, panels, room, finishes.data());
      }
    }
  }
}

template <class Codes>
void add_all(const CodeRows& rows, const Codes& codes, RowSums sums) {
  const auto next = [&](uint64_t n) {
    sums.weights += n * sums.weight_stride;
    sums.out += n * sums.stride;
    sums.batch -= n;
  };
  for (; sums.batch >= 4; next(4)) add_vectors<Codes, 4>(rows, codes, sums);
  for (; sums.batch >= 2; next(2)) add_vectors<Codes, 2>(rows, codes, sums);
  for (; sums.batch >= 1; next(1)) add_vectors<Codes, 1>(rows, codes, sums);
}

bool add_rows(const CodeRows& rows, const RowSums& sums) {
  switch (rows.layout) {
    case CodeRows::Layout::kNibbleBlocks:
      add_all(rows, BlockChunks<4>(), sums);
      break;
    case CodeRows::Layout::kByteBlocks:
      add_all(rows, BlockChunks<8>(), sums);
      break;
    default:
      with_constant_bits(rows.bits, [&](auto bits) {
        PanelChunks<bits()> codes;
        codes.panels = &rows.panels;
        add_all(rows, codes, sums);
      });
  }
  return true;
}

#else

bool add_rows(const CodeRows&, const RowSums&) { return false; }

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(add_rows);

bool add_code_rows(const CodeRows& rows, const RowSums& sums) {
  return HWY_DYNAMIC_DISPATCH(add_rows)(rows, sums);
}

}  // namespace pith::form
#endif
