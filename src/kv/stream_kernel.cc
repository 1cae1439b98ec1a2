#include "stream_kernel.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/kv/stream_kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pith::kv::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void restore(const uint8_t* codes, uint64_t count, uint64_t channels, const float* steps,
             const float* from, float* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t n = hn::Lanes(d);
  for (uint64_t r = 0; r < count; ++r, codes += channels, out += channels) {
    uint64_t c = 0;
    for (; c + n <= channels; c += n) {
      const auto z = hn::PromoteTo(du, hn::LoadU(d8, codes + c));
      const auto flip = hn::Sub(hn::Zero(du), hn::And(z, hn::Set(du, 1)));
      const auto v = hn::BitCast(di, hn::Xor(hn::ShiftRight<1>(z), flip));
      // Rounded apart, so that every machine gives the same.
      hn::StoreU(
          hn::Add(hn::LoadU(d, from + c), hn::Mul(hn::ConvertTo(d, v), hn::LoadU(d, steps + c))), d,
          out + c);
    }
    for (; c < channels; ++c) {
      const uint32_t z = codes[c];
      const auto v = static_cast<float>(static_cast<int32_t>(z >> 1 ^ (0 - (z & 1))));
      out[c] = from[c] + v * steps[c];
    }
  }
}

void turn(float* rows, uint64_t count, uint64_t size, uint64_t half, const float* cosines,
          const float* sines, float sign) {
  const hn::ScalableTag<float> d;
  const size_t n = hn::Lanes(d);
  const auto signs = hn::Set(d, sign);
  for (uint64_t r = 0; r < count; ++r, rows += size, cosines += half, sines += half) {
    uint64_t i = 0;
    for (; i + n <= half; i += n) {
      const auto c = hn::LoadU(d, cosines + i), s = hn::Mul(hn::LoadU(d, sines + i), signs);
      const auto a = hn::LoadU(d, rows + i), b = hn::LoadU(d, rows + half + i);
      hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, rows + i);
      hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, rows + half + i);
    }
    for (; i < half; ++i) {
      const float c = cosines[i], s = sines[i] * sign, a = rows[i], b = rows[half + i];
      rows[i] = a * c - b * s;
      rows[half + i] = b * c + a * s;
    }
  }
}

void add(float a, const float* from, uint64_t n, float* out) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto v = hn::Set(d, a);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::Add(hn::LoadU(d, out + i), hn::Mul(hn::LoadU(d, from + i), v)), d, out + i);
  for (; i < n; ++i) out[i] += from[i] * a;
}

}  // namespace pith::kv::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::kv {

HWY_EXPORT(restore);
HWY_EXPORT(turn);
HWY_EXPORT(add);

void restore_rows(const uint8_t* codes, uint64_t count, uint64_t channels, const float* steps,
                  const float* from, float* out) {
  HWY_DYNAMIC_DISPATCH(restore)(codes, count, channels, steps, from, out);
}
void turn_halves(float* rows, uint64_t count, uint64_t size, uint64_t pairs, const float* cosines,
                 const float* sines, float sign) {
  HWY_DYNAMIC_DISPATCH(turn)(rows, count, size, pairs, cosines, sines, sign);
}

void add_scaled(float a, const float* from, uint64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(add)(a, from, n, out);
}

namespace {

// Swaps the parts of a and b that `mask` marks, b's moved by `shift` bits.
void swap_parts(uint64_t& a, uint64_t& b, unsigned shift, uint64_t mask) {
  const uint64_t t = (a >> shift ^ b) & mask;
  b ^= t;
  a ^= t << shift;
}

// Byte j of row i becomes byte i of row j.
void transpose_8x8(uint64_t (&r)[8]) {
  for (int i = 0; i < 4; ++i) swap_parts(r[i], r[i + 4], 32, 0x00000000FFFFFFFF);
  for (int i = 0; i < 8; i += i % 4 == 1 ? 3 : 1)
    swap_parts(r[i], r[i + 2], 16, 0x0000FFFF0000FFFF);
  for (int i = 0; i < 8; i += 2) swap_parts(r[i], r[i + 1], 8, 0x00FF00FF00FF00FF);
}

}  // namespace

void transpose_bytes(const uint8_t* const* rows, uint64_t channels, uint64_t tokens, uint8_t* to) {
  for (uint64_t c = 0; c < channels; c += 8) {
    const uint64_t wide = std::min<uint64_t>(8, channels - c);
    for (uint64_t t = 0; t < tokens; t += 8) {
      const uint64_t high = std::min<uint64_t>(8, tokens - t);
      uint64_t block[8] = {};
      if (high == 8) {
        for (uint64_t i = 0; i < wide; ++i) std::memcpy(&block[i], rows[c + i] + t, 8);
      } else {
        for (uint64_t i = 0; i < wide; ++i) std::memcpy(&block[i], rows[c + i] + t, high);
      }
      transpose_8x8(block);
      if (wide == 8) {
        for (uint64_t i = 0; i < high; ++i) std::memcpy(to + (t + i) * channels + c, &block[i], 8);
      } else {
        for (uint64_t i = 0; i < high; ++i)
          std::memcpy(to + (t + i) * channels + c, &block[i], wide);
      }
    }
  }
}

}  // namespace pith::kv
#endif
