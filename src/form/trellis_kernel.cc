#include <algorithm>
#include <array>

#include "trellis_code.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/trellis_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Elements that are decoded together: their bits begin at a byte, and 16 bytes hold all of them.
constexpr uint64_t kTogether = 16;
constexpr size_t kBytes = 16;

// Which four bytes hold each element's window, as a number whose highest byte comes first, and how
// far it lies above the lowest bit.
struct Windows {
  alignas(64) std::array<uint8_t, 4 * kTogether> bytes;
  alignas(64) std::array<uint32_t, kTogether> shifts;

  HWY_INLINE Windows(int bits, int window) {
    for (uint32_t j = 0; j < kTogether; ++j) {
      const uint32_t bit = j * static_cast<uint32_t>(bits);
      for (uint32_t k = 0; k < 4; ++k) bytes[4 * j + k] = static_cast<uint8_t>(bit / 8 + 3 - k);
      shifts[j] = 32 - static_cast<uint32_t>(window) - bit % 8;
    }
  }
};

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void decode_some(const uint8_t* codes, const Windows& windows, uint32_t mask,
                            float* HWY_RESTRICT out) {
  for (uint64_t j = 0; j < kTogether; ++j) {
    uint32_t word = 0;
    for (uint64_t k = 4; k-- > 0;) word = word << 8 | codes[windows.bytes[4 * j + k]];
    out[j] = trellis_value(word >> windows.shifts[j] & mask);
  }
}
#else
using DU = hn::CappedTag<uint32_t, kTogether>;
using DI = hn::RebindToSigned<DU>;
using DF = hn::RebindToFloat<DU>;
using D8 = hn::Repartition<uint8_t, DU>;

HWY_INLINE void decode_some(const uint8_t* codes, const Windows& windows, uint32_t mask,
                            float* HWY_RESTRICT out) {
  const DU du;
  const DI di;
  const DF df;
  const D8 d8;
  const size_t lanes = hn::Lanes(du);
  const auto all = hn::LoadDup128(d8, codes);
  for (uint64_t j = 0; j < kTogether; j += lanes) {
    const auto words =
        hn::BitCast(du, hn::TableLookupBytes(all, hn::Load(d8, windows.bytes.data() + 4 * j)));
    const auto window =
        hn::And(hn::Shr(words, hn::Load(du, windows.shifts.data() + j)), hn::Set(du, mask));
    const auto x =
        hn::Add(hn::Mul(window, hn::Set(du, kTrellisFactor)), hn::Set(du, kTrellisOffset));
    const auto even = hn::Set(du, 0x00FF00FFu);
    const auto pairs = hn::Add(hn::And(x, even), hn::And(hn::ShiftRight<8>(x), even));
    const auto sum = hn::And(hn::Add(pairs, hn::ShiftRight<16>(pairs)), hn::Set(du, 0xFFFFu));
    const auto centred = hn::Sub(hn::BitCast(di, sum), hn::Set(di, kTrellisMiddle));
    hn::StoreU(hn::Mul(hn::ConvertTo(df, centred), hn::Set(df, kTrellisUnit)), df, out + j);
  }
}
#endif

void decode(const TrellisRow& row, uint64_t begin, uint64_t n, float* out) {
  const Windows windows(row.bits, row.window);
  const uint32_t mask = (uint32_t{1} << row.window) - 1;
  const auto step = 2 * static_cast<uint64_t>(row.bits);
  const uint8_t* codes = row.codes + begin / kTogether * step;
  uint64_t at = 0;
  for (; at + kTogether <= n && row.end - codes >= static_cast<int64_t>(kBytes); at += kTogether) {
    decode_some(codes, windows, mask, out + at);
    codes += step;
  }
  for (; at < n; at += kTogether, codes += step) {
    std::array<uint8_t, kBytes> last{};
    std::copy_n(codes, std::min<int64_t>(kBytes, row.end - codes), last.begin());
    std::array<float, kTogether> some;
    decode_some(last.data(), windows, mask, some.data());
    std::copy_n(some.begin(), std::min(kTogether, n - at), out + at);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(decode);

void decode_trellis(const TrellisRow& row, uint64_t begin, uint64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(decode)(row, begin, n, out);
}

}  // namespace pith::form
#endif
