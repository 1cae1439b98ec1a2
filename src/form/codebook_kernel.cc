#include "codebook_kernel.h"

#include <algorithm>
#include <array>

#include "codes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/codebook_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D8 = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;

// The planes of codes.h for widths known when compiled: shifts and masks of whole vectors.
template <int kBits, int kWidth, int kFirst>
HWY_INLINE const uint8_t* add_plane(const uint8_t* packed, uint8_t* HWY_RESTRICT codes) {
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
  packed = add_plane<kBits, 4, 0>(packed, codes);
  packed = add_plane<kBits, 2, kBits & 4>(packed, codes);
  add_plane<kBits, 1, kBits & 6>(packed, codes);
}

// Sixteen floats in as many registers as they take; codes choose among them.
class RegisterTable {
 public:
  HWY_INLINE explicit RegisterTable(const float* table)
      : low_(hn::LoadU(DF(), table)), high_(hn::LoadU(DF(), table + 16 - hn::Lanes(DF()))) {}

  HWY_INLINE VF operator()(const uint8_t* codes) const {
    const DI di;
    const auto index = hn::PromoteTo(di, hn::LoadU(D8(), codes));
    if (hn::Lanes(di) == 16) return hn::TableLookupLanes(low_, hn::IndicesFromVec(DF(), index));
    const auto within = hn::IndicesFromVec(DF(), hn::And(index, hn::Set(di, 7)));
    const auto above = hn::RebindMask(DF(), hn::Gt(index, hn::Set(di, 7)));
    return hn::IfThenElse(above, hn::TableLookupLanes(high_, within),
                          hn::TableLookupLanes(low_, within));
  }

 private:
  VF low_, high_;
};

HWY_INLINE void look_up_block(const uint8_t* codes, const RegisterTable& in_registers,
                              const float* table, float* HWY_RESTRICT out) {
  const size_t lanes = hn::Lanes(DF());
  if (lanes < 8) {
    for (uint64_t i = 0; i < kCodeBlock; ++i) out[i] = table[codes[i]];
    return;
  }
  for (uint64_t i = 0; i < kCodeBlock; i += lanes)
    hn::StoreU(in_registers(codes + i), DF(), out + i);
}

template <int kBits>
HWY_INLINE void scalars_of(const uint8_t* packed, const float* table, uint64_t n, float* out) {
  alignas(64) std::array<float, 16> padded{};
  std::copy_n(table, size_t{1} << kBits, padded.begin());
  const RegisterTable in_registers(padded.data());
  alignas(64) std::array<uint8_t, kCodeBlock> codes;
  for (uint64_t at = 0; at < n; at += kCodeBlock, packed += 8 * kBits) {
    unpack<kBits>(packed, codes.data());
    if (n - at >= kCodeBlock) {
      look_up_block(codes.data(), in_registers, padded.data(), out + at);
    } else {
      for (uint64_t i = 0; i < n - at; ++i) out[at + i] = padded[codes[i]];
    }
  }
}

void scalars(const uint8_t* packed, int bits, const float* table, uint64_t n, float* out) {
  switch (bits) {
    case 1:
      return scalars_of<1>(packed, table, n, out);
    case 2:
      return scalars_of<2>(packed, table, n, out);
    case 3:
      return scalars_of<3>(packed, table, n, out);
    default:
      return scalars_of<4>(packed, table, n, out);
  }
}

// Runs of kDim elements: one vector, or as many as they take.
template <size_t kDim, bool kAdd>
HWY_INLINE void vectors_of(const float* table, const uint16_t* codes, uint64_t n,
                           float* HWY_RESTRICT out) {
  const hn::CappedTag<float, kDim> d;
  const size_t lanes = hn::Lanes(d);
  for (uint64_t at = 0; at + kDim <= n; at += kDim) {
    const float* entry = table + *codes++ * kDim;
    for (size_t i = 0; i < kDim; i += lanes) {
      const auto v = hn::LoadU(d, entry + i);
      hn::StoreU(kAdd ? hn::Add(hn::LoadU(d, out + at + i), v) : v, d, out + at + i);
    }
  }
  const uint64_t rest = n % kDim, at = n - rest;
  for (uint64_t i = 0; i < rest; ++i)
    out[at + i] = (kAdd ? out[at + i] : 0) + table[*codes * kDim + i];
}

template <bool kAdd>
void vectors_added(EntryTable table, const uint16_t* codes, uint64_t n, float* out) {
  switch (table.dim) {
    case 1:
      return vectors_of<1, kAdd>(table.values, codes, n, out);
    case 2:
      return vectors_of<2, kAdd>(table.values, codes, n, out);
    case 4:
      return vectors_of<4, kAdd>(table.values, codes, n, out);
    case 8:
      return vectors_of<8, kAdd>(table.values, codes, n, out);
    case 16:
      return vectors_of<16, kAdd>(table.values, codes, n, out);
    default:
      break;
  }
  for (uint64_t at = 0; at < n; at += table.dim) {
    const float* entry = table.values + *codes++ * table.dim;
    for (uint64_t i = 0; i < std::min(table.dim, n - at); ++i)
      out[at + i] = (kAdd ? out[at + i] : 0) + entry[i];
  }
}

void vectors(EntryTable table, const uint16_t* codes, uint64_t n, bool add, float* out) {
  add ? vectors_added<true>(table, codes, n, out) : vectors_added<false>(table, codes, n, out);
}

void products(EntryTable table, uint64_t entries, const float* x, uint64_t n,
              float* HWY_RESTRICT out) {
  for (uint64_t e = 0; e < entries; ++e) {
    const float* entry = table.values + e * table.dim;
    float sum = 0;
    for (uint64_t i = 0; i < n; ++i) sum += entry[i] * x[i];
    out[e] = sum;
  }
}

float sum_of(const float* products, uint64_t entries, const uint8_t* codes, uint64_t n) {
  float sum[4] = {};
  uint64_t i = 0;
  for (; i + 4 <= n; i += 4, products += 4 * entries) {
    for (uint64_t k = 0; k < 4; ++k) sum[k] += products[k * entries + codes[i + k]];
  }
  for (; i < n; ++i, products += entries) sum[0] += products[codes[i]];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(scalars);
HWY_EXPORT(vectors);
HWY_EXPORT(products);
HWY_EXPORT(sum_of);

void look_up_scalars(const uint8_t* packed, int bits, const float* table, uint64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(scalars)(packed, bits, table, n, out);
}

void look_up_vectors(EntryTable table, const uint16_t* codes, uint64_t n, bool add, float* out) {
  HWY_DYNAMIC_DISPATCH(vectors)(table, codes, n, add, out);
}

void entry_products(EntryTable table, uint64_t entries, const float* x, uint64_t n,
                    float* products) {
  HWY_DYNAMIC_DISPATCH(products)(table, entries, x, n, products);
}

float sum_of_products(const float* products, uint64_t entries, const uint8_t* codes, uint64_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_of)(products, entries, codes, n);
}

}  // namespace pith::form
#endif
