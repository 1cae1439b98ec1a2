#include "codebook_kernel.h"

#include <algorithm>
#include <array>

#include "codes.h"
#include "pith/base/bytes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/codebook_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "code_planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D8 = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;

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
    unpack_codes<kBits>(packed, codes.data());
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

HWY_INLINE float sum_of(const float* HWY_RESTRICT products, uint64_t entries,
                        const uint8_t* HWY_RESTRICT codes, uint64_t n) {
  float sum[4] = {};
  uint64_t i = 0;
  for (; i + 8 <= n; i += 8, products += 8 * entries) {
    const auto eight = load_le<uint64_t>(codes + i);
    for (uint64_t k = 0; k < 8; ++k) sum[k % 4] += products[k * entries + (eight >> 8 * k & 255)];
  }
  for (; i < n; ++i, products += entries) sum[0] += products[codes[i]];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void sums_of(const EntryProducts& p, const uint8_t* codes, uint64_t stride, uint64_t rows,
             float* sums) {
  for (uint64_t r = 0; r < rows; ++r)
    sums[r] += sum_of(p.values, p.entries, codes + r * stride, p.runs);
}

template <int kBits>
HWY_INLINE void unpack_blocks_of(const uint8_t* packed, uint64_t blocks, uint8_t* out) {
  for (uint64_t i = 0; i < blocks; ++i)
    unpack_codes<kBits>(packed + i * 8 * kBits, out + i * kCodeBlock);
}

void unpack_blocks(const uint8_t* packed, int bits, uint64_t blocks, uint8_t* out) {
  switch (bits) {
    case 1:
      return unpack_blocks_of<1>(packed, blocks, out);
    case 2:
      return unpack_blocks_of<2>(packed, blocks, out);
    case 3:
      return unpack_blocks_of<3>(packed, blocks, out);
    case 4:
      return unpack_blocks_of<4>(packed, blocks, out);
    case 5:
      return unpack_blocks_of<5>(packed, blocks, out);
    case 6:
      return unpack_blocks_of<6>(packed, blocks, out);
    case 7:
      return unpack_blocks_of<7>(packed, blocks, out);
    default:
      return unpack_blocks_of<8>(packed, blocks, out);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(scalars);
HWY_EXPORT(vectors);
HWY_EXPORT(products);
HWY_EXPORT(sums_of);
HWY_EXPORT(unpack_blocks);

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

void add_products(const EntryProducts& products, const uint8_t* codes, uint64_t stride,
                  uint64_t rows, float* sums) {
  HWY_DYNAMIC_DISPATCH(sums_of)(products, codes, stride, rows, sums);
}

void unpack_code_blocks(const uint8_t* packed, int bits, uint64_t blocks, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(unpack_blocks)(packed, bits, blocks, codes);
}

}  // namespace pith::form
#endif
