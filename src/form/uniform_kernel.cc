#include "uniform_kernel.h"

#include <algorithm>
#include <array>
#include <vector>

#include "codes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/uniform_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using D8 = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;

// The planes of codes.h, with the widths known: the loops become shifts and masks of whole vectors.
template <int kBits, int kWidth, int kFirst>
HWY_INLINE const uint8_t* add_plane(const uint8_t* packed, uint8_t* codes) {
  if constexpr (kBits & kWidth) {
    constexpr int kBytes = 8 * kWidth, kMask = (1 << kWidth) - 1;
    for (int k = 0; k * kWidth < 8; ++k) {
      for (int j = 0; j < kBytes; ++j) {
        const auto part = static_cast<uint8_t>((packed[j] >> (k * kWidth) & kMask) << kFirst);
        uint8_t& code = codes[j + k * kBytes];
        code = kFirst == 0 ? part : static_cast<uint8_t>(code | part);
      }
    }
    return packed + kBytes;
  } else {
    return packed;
  }
}

template <int kBits>
HWY_INLINE void unpack(const uint8_t* packed, uint8_t* HWY_RESTRICT codes) {
  packed = add_plane<kBits, 8, 0>(packed, codes);
  packed = add_plane<kBits, 4, 0>(packed, codes);
  packed = add_plane<kBits, 2, kBits & 4>(packed, codes);
  add_plane<kBits, 1, kBits & 6>(packed, codes);
}

// Lanes of a block and of the sums of one vector of the batch.
constexpr uint64_t kBlock = kCodeBlock;

template <int kBits>
HWY_INLINE void decode_block(const CodedRow& row, uint64_t block, float* HWY_RESTRICT weights) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  alignas(64) std::array<uint8_t, kBlock> codes;
  unpack<kBits>(row.codes + block * 8 * kBits, codes.data());
  const VF scale = hn::Set(df, row.scales[block]);
  const VF zero = hn::Set(df, (row.zeros ? row.zeros[block] : 0) - row.middle * row.scales[block]);
  for (size_t i = 0; i < kBlock; i += lanes) {
    const VF code = hn::ConvertTo(df, hn::PromoteTo(DI(), hn::LoadU(D8(), codes.data() + i)));
    hn::StoreU(hn::MulAdd(code, scale, zero), df, weights + i);
  }
}

// x may end within the block: `n` elements of it are there.
HWY_INLINE VF add_products(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x,
                           uint64_t n, VF sum) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    sum = hn::MulAdd(hn::LoadU(df, weights + i), hn::LoadU(df, x + i), sum);
  if (i < n) {
    // Copied: masked loads of some instruction sets are whole, aligned ones.
    alignas(64) std::array<float, 16> last{};
    std::copy_n(x + i, n - i, last.begin());
    sum = hn::MulAdd(hn::LoadU(df, weights + i), hn::Load(df, last.data()), sum);
  }
  return sum;
}

template <int kBits>
void multiply(const CodedRow& row, uint64_t cols, MatrixView vectors, float* sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const uint64_t batch = vectors.shape.rows;
  alignas(64) std::array<float, kBlock> weights;
  if (batch == 1) {
    // Two sums, so that one need not wait for the other.
    VF even = hn::Zero(df), odd = hn::Zero(df);
    for (uint64_t at = 0; at < cols; at += kBlock) {
      decode_block<kBits>(row, at / kBlock, weights.data());
      VF& sum = at / kBlock % 2 ? odd : even;
      sum = add_products(weights.data(), vectors.data + at, std::min(kBlock, cols - at), sum);
    }
    sums[0] = hn::GetLane(hn::SumOfLanes(df, hn::Add(even, odd)));
    return;
  }
  thread_local std::vector<float> partial;
  partial.assign(batch * lanes, 0);
  for (uint64_t at = 0; at < cols; at += kBlock) {
    decode_block<kBits>(row, at / kBlock, weights.data());
    for (uint64_t b = 0; b < batch; ++b) {
      float* p = partial.data() + b * lanes;
      hn::StoreU(add_products(weights.data(), vectors.row(b).data() + at,
                              std::min(kBlock, cols - at), hn::LoadU(df, p)),
                 df, p);
    }
  }
  for (uint64_t b = 0; b < batch; ++b) {
    sums[b] = hn::GetLane(hn::SumOfLanes(df, hn::LoadU(df, partial.data() + b * lanes)));
  }
}

void multiply_bits(const CodedRow& row, uint64_t cols, MatrixView vectors, float* sums) {
  switch (row.bits) {
    case 1:
      return multiply<1>(row, cols, vectors, sums);
    case 2:
      return multiply<2>(row, cols, vectors, sums);
    case 3:
      return multiply<3>(row, cols, vectors, sums);
    case 4:
      return multiply<4>(row, cols, vectors, sums);
    case 5:
      return multiply<5>(row, cols, vectors, sums);
    case 6:
      return multiply<6>(row, cols, vectors, sums);
    case 7:
      return multiply<7>(row, cols, vectors, sums);
    default:
      return multiply<8>(row, cols, vectors, sums);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(multiply_bits);

void multiply_row(const CodedRow& row, uint64_t cols, MatrixView vectors, float* sums) {
  HWY_DYNAMIC_DISPATCH(multiply_bits)(row, cols, vectors, sums);
}

}  // namespace pith::form
#endif
