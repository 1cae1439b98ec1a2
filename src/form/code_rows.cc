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
// Weights use no more, so that 128 may be added before they are cut into bytes; scales all.
constexpr float kWeightRange = 127 * 256, kScaleRange = 32767;
// What a product of both is divided by.
constexpr float kRound = 32768;

using F = hn::CappedTag<float, kPanelRows>;

// What the loops over codes read: rows up to a multiple of 32.
struct Room {
  alignas(64) std::array<float, kCodeRows> floats;
  alignas(64) std::array<int16_t, kCodeRows> scales;
  alignas(64) std::array<std::array<int16_t, kCodeRows>, kMostVectors> weights;
  // Of each vector the low and the high bytes: those of four rows four times, as codes of four
  // columns meet them.
  alignas(64) std::array<std::array<std::array<int8_t, 4 * kCodeRows>, 2>, kMostVectors> bytes;
  alignas(64) std::array<std::array<std::array<int32_t, kPanelRows>, 2>, kMostVectors> bias;
  std::array<float, kMostVectors> units;  // of weights
  Staged staged;
};

// n floats, a multiple of 32, in units of the largest / range: the unit, NaN where one is not
// finite.
HWY_INLINE float rounded(const float* x, uint64_t n, float range, int16_t* out) {
  const F d;
  const DS16 ds;
  auto most = hn::Zero(d), sum = hn::Zero(d);  // NaN where something is not finite
  for (uint64_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto v = hn::Load(d, x + i);
    most = hn::Max(most, hn::Abs(v));
    sum = hn::MulAdd(v, hn::Zero(d), sum);
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  const bool finite = hn::GetLane(hn::SumOfLanes(d, sum)) == 0;
  float inverse = finite && largest > 0 ? range / largest : 0;
  // A largest one so small that its inverse is infinite counts as zero.
  if (!std::isfinite(inverse)) inverse = 0;
  const auto quantized = [&](uint64_t i) {
    const auto q = hn::NearestInt(hn::Mul(hn::Load(d, x + i), hn::Set(d, inverse)));
    return hn::DemoteTo(hn::Rebind<int16_t, F>(), q);
  };
  // Whole vectors are stored: they will be read as such.
  for (uint64_t i = 0; i < n; i += hn::Lanes(ds))
    hn::Store(hn::Combine(ds, quantized(i + hn::Lanes(d)), quantized(i)), ds, out + i);
  return finite ? largest / range : NAN;
}

// The dwords of half a vector, each pair of them twice.
template <int kHalf>
HWY_INLINE VI pairs_of(VI words) {
  constexpr int32_t k = kHalf * static_cast<int32_t>(hn::MaxLanes(DI())) / 2;
  alignas(64) static constexpr int32_t kPairs[16] = {k,     k + 1, k,     k + 1, k + 2, k + 3,
                                                     k + 2, k + 3, k + 4, k + 5, k + 4, k + 5,
                                                     k + 6, k + 7, k + 6, k + 7};
  return hn::TableLookupLanes(words, hn::SetTableIndices(DI(), kPairs));
}

// Bytes and biases of a vector's weights times the scales of a group.
HWY_INLINE void multiply_scales(Room& room, uint64_t v, uint64_t rows, int32_t middle) {
  const D8 d8;
  const DI di;
  const DS16 ds;
  alignas(16) static constexpr uint8_t kLow[16] = {0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6};
  const V8 low = hn::LoadDup128(d8, kLow), high = hn::Add(low, hn::Set(d8, 1)),
           code = hn::Set(d8, static_cast<uint8_t>(middle));
  VI low_bias = hn::Zero(di), high_bias = low_bias;
  for (uint64_t i = 0; i < rows; i += hn::Lanes(ds)) {
    const auto product = hn::MulFixedPoint15(hn::Load(ds, room.weights[v].data() + i),
                                             hn::Load(ds, room.scales.data() + i));
    // 256 * high + low, where low is signed as well: its highest bit, flipped.
    const VI words = hn::BitCast(di, hn::Xor(hn::Add(product, hn::Set(ds, 128)), hn::Set(ds, 128)));
    const auto store = [&](VI four_rows, uint64_t at) {
      const V8 all = hn::BitCast(d8, four_rows);
      const VI lows = hn::BitCast(di, hn::TableLookupBytes(all, low)),
               highs = hn::BitCast(di, hn::TableLookupBytes(all, high));
      hn::Store(lows, di, reinterpret_cast<int32_t*>(room.bytes[v][0].data() + at));
      hn::Store(highs, di, reinterpret_cast<int32_t*>(room.bytes[v][1].data() + at));
      low_bias = dot4<true>(low_bias, code, lows);
      high_bias = dot4<true>(high_bias, code, highs);
    };
    store(pairs_of<0>(words), 4 * i);
    store(pairs_of<1>(words), 4 * i + hn::Lanes(d8));
  }
  hn::Store(hn::Neg(low_bias), di, room.bias[v][0].data());
  hn::Store(hn::Neg(high_bias), di, room.bias[v][1].data());
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

// Calls f with every number below n as a constant: arrays that are indexed by these stay in
// registers.
template <int kCount, class F>
HWY_INLINE void for_each_below(const F& f) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    (f(std::integral_constant<int, kIndex>()), ...);
  }
  (std::make_integer_sequence<int, kCount>());
}

// The columns of half a block, kStep chunks at a time.
template <class Codes, int kCount, int kHalf, int kStep, int kFirst = 0>
HWY_INLINE void sum_half(const Codes& codes, uint64_t panels, const Room& room,
                         const Finish* finishes) {
  const DI di;
  constexpr int kChunkIndex = 4 * kHalf + kFirst;
  const auto load = [&](const auto* from) {
    return hn::Load(di, reinterpret_cast<const int32_t*>(from));
  };
  VI low[kStep * kCount], high[kStep * kCount];
  for_each_below<kCount * kStep>([&](auto i) {
    low[i()] = load(room.bias[i() / kStep][0].data());
    high[i()] = load(room.bias[i() / kStep][1].data());
  });
  for (uint64_t panel = 0; panel < panels; ++panel) {
    for (size_t part = 0; part < kChunk; part += hn::Lanes(D8())) {
      V8 c[kStep];
      codes.template load<kChunkIndex, kStep>(panel, part, c);
      const size_t at = panel * kChunk + part;
      for_each_below<kCount>([&](auto v) {
        const VI lows = load(room.bytes[v()][0].data() + at),
                 highs = load(room.bytes[v()][1].data() + at);
        for_each_below<kStep>([&](auto k) {
          constexpr int kAt = v() * kStep + k();
          low[kAt] = dot4<Codes::kByte>(low[kAt], c[k()], lows);
          high[kAt] = dot4<Codes::kByte>(high[kAt], c[k()], highs);
        });
      });
    }
  }
  for_each_below<kCount>([&](auto v) {
    VI whole[kStep];
    for_each_below<kStep>([&](auto k) {
      constexpr int kAt = v() * kStep + k();
      whole[k()] = hn::Add(hn::ShiftLeft<8>(high[kAt]), low[kAt]);
    });
    finish_chunks<kFirst, kStep>(di, finishes[v()], whole);
  });
  if constexpr (kFirst + kStep < 4) {
    sum_half<Codes, kCount, kHalf, kStep, kFirst + kStep>(codes, panels, room, finishes);
  }
}

// Sums of weights times zero points of a group.
HWY_INLINE float sum_zeros(const CodeRows& rows, const float* weights, uint64_t groups,
                           uint64_t group) {
  if (!rows.zeros) return 0;
  float sum = 0;
  for (uint64_t r = 0; r < rows.rows; ++r)
    sum += weights[r] * rows.zeros[(r / kPanelRows * groups + group) * kPanelRows + r % kPanelRows];
  return sum;
}

template <class Codes, int kCount>
void add_vectors(const CodeRows& rows, Codes codes, RowSums sums) {
  // As many sums as registers hold beside codes and weights.
  constexpr int kStep = kCount == 4 ? 2 : 4;
  Room room;
  const uint64_t panels = panels_of(rows.rows), padded = (panels + 1) / 2 * 2 * kPanelRows;
  for (uint64_t v = 0; v < kCount; ++v) {
    const float* from = sums.weights + v * sums.weight_stride;
    std::copy_n(from, rows.rows, room.floats.begin());
    std::fill(room.floats.begin() + rows.rows, room.floats.begin() + padded, 0.0F);
    room.units[v] = rounded(room.floats.data(), padded, kWeightRange, room.weights[v].data());
  }
  const uint64_t length = std::min(rows.group, panel_blocks(rows.cols) * kBlockCols),
                 groups = (rows.cols + length - 1) / length;
  for (uint64_t begin = 0, group = 0; begin < rows.cols; begin += length, ++group) {
    const uint64_t end = std::min(begin + length, rows.cols);
    codes.stage(rows, begin, panels, room.staged);
    codes.scales(rows, groups, group, room.floats.data());
    const float unit = rounded(room.floats.data(), padded, kScaleRange, room.scales.data());
    std::array<Finish, kCount> finishes;
    for (uint64_t v = 0; v < kCount; ++v) {
      multiply_scales(room, v, padded, rows.middle);
      const float* weights = sums.weights + v * sums.weight_stride;
      finishes[v].unit = kRound * unit * room.units[v];
      finishes[v].zero = sum_zeros(rows, weights, groups, group);
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
