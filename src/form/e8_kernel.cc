#include "e8_kernel.h"

#include <algorithm>
#include <array>

#include "e8.h"
#include "pith/base/bytes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/e8_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Codes that are looked up before the first of them is used: what was stored as words is then no
// longer on its way to memory when it is loaded as vectors.
constexpr uint64_t kTogether = 32;
constexpr uint64_t kElements = kTogether * kE8;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D8 = hn::Rebind<int8_t, DF>;

struct Words {
  alignas(64) std::array<uint64_t, kTogether> points, shifts;
};

HWY_INLINE void look_up(const E8Codes& codes, uint64_t at, uint64_t n, Words& w) {
  const E8Tables& t = e8_tables();
  if (codes.is_short) {
    for (uint64_t i = 0; i < n; ++i) {
      w.points[i] = t.short_vectors[codes.stored[at + i]];
      w.shifts[i] = 0;
    }
    return;
  }
  for (uint64_t i = 0; i < n; ++i) {
    const auto code = load_le<uint16_t>(codes.stored + 2 * (at + i));
    w.points[i] = t.patterns[code & 255] ^ t.flips[code >> 8];
    w.shifts[i] = t.shifts[code >> 8];
  }
}

template <bool kAdd>
HWY_INLINE void elements(const Words& w, float unit, float* HWY_RESTRICT out) {
  const DF df;
  const DI di;
  const D8 d8;
  const size_t lanes = hn::Lanes(df);
  const auto* points = reinterpret_cast<const int8_t*>(w.points.data());
  const auto* shifts = reinterpret_cast<const int8_t*>(w.shifts.data());
  const auto units = hn::Set(df, unit);
  for (uint64_t i = 0; i < kElements; i += lanes) {
    const auto bytes = hn::Add(hn::LoadU(d8, points + i), hn::LoadU(d8, shifts + i));
    const auto v = hn::Mul(hn::ConvertTo(df, hn::PromoteTo(di, bytes)), units);
    hn::StoreU(kAdd ? hn::Add(hn::LoadU(df, out + i), v) : v, df, out + i);
  }
}

template <bool kAdd>
HWY_INLINE void all(const E8Codes& codes, uint64_t n, float unit, float* out) {
  Words w{};
  uint64_t at = 0;
  for (; at + kElements <= n; at += kElements) {
    look_up(codes, codes.first + at / kE8, kTogether, w);
    elements<kAdd>(w, unit, out + at);
  }
  if (at == n) return;
  std::array<float, kElements> last{};
  if (kAdd) std::copy(out + at, out + n, last.begin());
  look_up(codes, codes.first + at / kE8, (n - at + kE8 - 1) / kE8, w);
  elements<kAdd>(w, unit, last.data());
  std::copy_n(last.begin(), n - at, out + at);
}

void decode(const E8Codes& codes, uint64_t n, float unit, bool add, float* out) {
  add ? all<true>(codes, n, unit, out) : all<false>(codes, n, unit, out);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(decode);

void decode_e8(const E8Codes& codes, uint64_t n, float unit, bool add, float* out) {
  HWY_DYNAMIC_DISPATCH(decode)(codes, n, unit, add, out);
}

}  // namespace pith::form
#endif
