// Blocks of GGML's types from floats: scales by least squares (ggml_fit.h), the nearest codes, and
// the layouts of docs/forms.md.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ggml.h"
#include "ggml_fit.h"
#include "ggml_tables.h"
#include "kinds.h"
#include "pith/base/half.h"
#include "pith/form/arguments.h"
#include "scales.h"

namespace pith::form {
namespace {

using ggml::IntegerLevels;
using ggml::Iq4Levels;

void put_half(uint8_t* to, float v) { store_le(to, f16_from_float(v)); }
float f16(float v) { return rounded_scale(v, DType::kF16); }

// level - least of the element.
template <class Levels>
uint8_t code(float x, float scale, float zero, const Levels& levels, int bias) {
  const float level = levels.nearest(scale == 0 ? 0 : (x - zero) * (1 / scale));
  return static_cast<uint8_t>(static_cast<int>(level) + bias);
}

// Element j in the low nibble of byte j, element j + 16 in the high one.
void put_nibbles(const uint8_t* codes, uint8_t* to) {
  for (int j = 0; j < 16; ++j) {
    to[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  }
}

void put_fifth_bits(const uint8_t* codes, uint8_t* to) {
  uint32_t high = 0;
  for (int j = 0; j < 32; ++j) high |= uint32_t{codes[j]} >> 4 << j;
  store_le(to, high);
}

// Blocks of 32.

template <int kMost>
float symmetric(const float* x, uint8_t* codes) {
  const IntegerLevels levels{-kMost, kMost - 1};
  const float top = kMost;
  const float d = f16(ggml::fit_scale<32>(x, levels, {0.8f * top, 1.4f * top, 16}, true));
  for (int j = 0; j < 32; ++j) codes[j] = code(x[j], d, 0, levels, kMost);
  return d;
}

void q4_0(const float* x, uint8_t* b) {
  uint8_t codes[32];
  put_half(b, symmetric<8>(x, codes));
  put_nibbles(codes, b + 2);
}

void q5_0(const float* x, uint8_t* b) {
  uint8_t codes[32];
  put_half(b, symmetric<16>(x, codes));
  put_fifth_bits(codes, b + 2);
  put_nibbles(codes, b + 6);
}

template <int kMost>
void affine(const float* x, uint8_t* b, uint8_t* codes) {
  const float top = kMost;
  const ggml::Line line = ggml::fit_line<32>(x, top, {0.9f * top, 1.3f * top, 10}, false);
  const float d = f16(line.scale), m = f16(line.zero);
  for (int j = 0; j < 32; ++j) codes[j] = code(x[j], d, m, IntegerLevels{0, top}, 0);
  put_half(b, d);
  put_half(b + 2, m);
}

void q4_1(const float* x, uint8_t* b) {
  uint8_t codes[32];
  affine<15>(x, b, codes);
  put_nibbles(codes, b + 4);
}

void q5_1(const float* x, uint8_t* b) {
  uint8_t codes[32];
  affine<31>(x, b, codes);
  put_fifth_bits(codes, b + 4);
  put_nibbles(codes, b + 8);
}

void q8_0(const float* x, uint8_t* b) {
  const IntegerLevels levels{-127, 127};
  const float d = f16(ggml::fit_scale<32>(x, levels, {126, 128, 5}, false));
  put_half(b, d);
  for (int j = 0; j < 32; ++j) b[2 + j] = code(x[j], d, 0, levels, 0);
}

constexpr ggml::Search kIq4Search{95, 160, 16};

void iq4_nl(const float* x, uint8_t* b) {
  const float d = f16(ggml::fit_scale<32>(x, Iq4Levels(), kIq4Search, true));
  const float inverse = d == 0 ? 0 : 1 / d;
  uint8_t codes[32];
  for (int j = 0; j < 32; ++j) codes[j] = Iq4Levels::code(x[j] * inverse);
  put_half(b, d);
  put_nibbles(codes, b + 2);
}

// Twice the sizes of fp4.
uint8_t fp4_code(double v) {
  static constexpr std::array kBoundaries = {0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0};
  const auto size = std::ranges::upper_bound(kBoundaries, std::fabs(v)) - kBoundaries.begin();
  return static_cast<uint8_t>(size + (v < 0 && size > 0 ? 8 : 0));
}

constexpr int kMostMxfp4 = 252;  // with which the largest level is a finite float

// The scale is a power of two: the best of the three around the largest element's.
void mxfp4(const float* x, uint8_t* b) {
  float largest = 0;
  for (int j = 0; j < 32; ++j) largest = std::max(largest, std::fabs(x[j]));
  const int middle = largest == 0 ? 0 : std::ilogb(largest) - 2 + 127;
  double least = INFINITY;
  for (int e = std::clamp(middle - 1, 0, kMostMxfp4); e <= std::clamp(middle + 1, 0, kMostMxfp4);
       ++e) {
    const double unit = std::ldexp(1.0, e - 128);
    uint8_t codes[32];
    double left = 0;
    for (int j = 0; j < 32; ++j) {
      codes[j] = fp4_code(x[j] / unit);
      left += std::pow(x[j] - unit * kFp4[codes[j]], 2);
    }
    if (left >= least) continue;
    least = left;
    b[0] = static_cast<uint8_t>(e);
    put_nibbles(codes, b + 1);
  }
}

// Blocks of 256.

void q2_k(const float* x, uint8_t* b) {
  const auto g = ggml::fit_lines<16, 16>(x, 3, {2.4f, 4.2f, 10}, 15);
  std::memset(b, 0, info(DType::kQ2_K).block_bytes);
  put_half(b + 80, g.d);
  put_half(b + 82, g.dmin);
  for (size_t part = 0; part < 16; ++part) {
    b[part] = static_cast<uint8_t>(g.scale[part] | g.least[part] << 4);
    const float scale = g.d * static_cast<float>(g.scale[part]);
    const float least = g.dmin * static_cast<float>(g.least[part]);
    uint8_t* to = b + 16 + part / 8 * 32 + part % 2 * 16;
    const size_t shift = part % 8 / 2 * 2;
    for (size_t i = 0; i < 16; ++i) {
      to[i] |= static_cast<uint8_t>(code(x[16 * part + i], scale, -least, IntegerLevels{0, 3}, 0)
                                    << shift);
    }
  }
}

// Six bits each: the low nibbles of all, then their two high bits.
void put_q3_scales(const std::array<int, 16>& scales, uint8_t* p) {
  for (size_t i = 0; i < 16; ++i) {
    const int s = scales[i] + 32;
    p[i % 8] |= static_cast<uint8_t>((s & 15) << (i / 8 * 4));
    p[8 + i % 4] |= static_cast<uint8_t>(s >> 4 << (i / 4 * 2));
  }
}

void q3_k(const float* x, uint8_t* b) {
  const IntegerLevels levels{-4, 3};
  const auto g = ggml::fit_scaled<16, 16>(x, levels, {3, 6, 10}, 32);
  std::memset(b, 0, info(DType::kQ3_K).block_bytes);
  put_q3_scales(g.scale, b + 96);
  put_half(b + 108, g.d);
  for (size_t part = 0; part < 16; ++part) {
    const float scale = g.d * static_cast<float>(g.scale[part]);
    const size_t first = part % 2 * 16, shift = part % 8 / 2 * 2, bit = part / 2;
    uint8_t* to = b + 32 + part / 8 * 32 + first;
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t c = code(x[16 * part + i], scale, 0, levels, 4);
      to[i] |= static_cast<uint8_t>((c & 3) << shift);
      b[first + i] |= static_cast<uint8_t>(c >> 2 << bit);
    }
  }
}

// Eight scales and eight minima of 6 bits in 12 bytes.
void put_k4_scales(const ggml::LineGroups& g, uint8_t* p) {
  for (size_t i = 0; i < 4; ++i) {
    p[i] = static_cast<uint8_t>(g.scale[i] | g.scale[i + 4] >> 4 << 6);
    p[i + 4] = static_cast<uint8_t>(g.least[i] | g.least[i + 4] >> 4 << 6);
    p[i + 8] = static_cast<uint8_t>((g.scale[i + 4] & 15) | (g.least[i + 4] & 15) << 4);
  }
}

// The codes of Q4_K and Q5_K, one a byte.
void k4_codes(const float* x, int most, ggml::Search search, uint8_t* b, uint8_t* codes) {
  const auto g = ggml::fit_lines<32, 8>(x, static_cast<float>(most), search, 63);
  put_half(b, g.d);
  put_half(b + 2, g.dmin);
  put_k4_scales(g, b + 4);
  const IntegerLevels levels{0, static_cast<float>(most)};
  for (size_t i = 0; i < 256; ++i) {
    const float scale = g.d * static_cast<float>(g.scale[i / 32]);
    const float least = g.dmin * static_cast<float>(g.least[i / 32]);
    codes[i] = code(x[i], scale, -least, levels, 0);
  }
}

void put_k4_nibbles(const uint8_t* codes, uint8_t* to) {
  for (size_t i = 0; i < 128; ++i) {
    const uint8_t* pair = codes + i / 32 * 64 + i % 32;
    to[i] = static_cast<uint8_t>((pair[0] & 15) | (pair[32] & 15) << 4);
  }
}

void q4_k(const float* x, uint8_t* b) {
  uint8_t codes[256];
  k4_codes(x, 15, {13, 20, 8}, b, codes);
  put_k4_nibbles(codes, b + 16);
}

void q5_k(const float* x, uint8_t* b) {
  uint8_t codes[256];
  k4_codes(x, 31, {29, 38, 8}, b, codes);
  put_k4_nibbles(codes, b + 48);
  std::memset(b + 16, 0, 32);
  for (size_t i = 0; i < 256; ++i) {
    b[16 + i % 32] |= static_cast<uint8_t>(codes[i] >> 4 << (i / 32));
  }
}

void q6_k(const float* x, uint8_t* b) {
  const IntegerLevels levels{-32, 31};
  const auto g = ggml::fit_scaled<16, 16>(x, levels, {30, 36, 10}, 128);
  std::memset(b, 0, info(DType::kQ6_K).block_bytes);
  put_half(b + 208, g.d);
  for (size_t part = 0; part < 16; ++part) {
    b[192 + part] = static_cast<uint8_t>(g.scale[part]);
    const float scale = g.d * static_cast<float>(g.scale[part]);
    const size_t quarter = part % 8 / 2, first = part % 2 * 16;
    uint8_t* low = b + part / 8 * 64 + quarter % 2 * 32 + first;
    uint8_t* high = b + 128 + part / 8 * 32 + first;
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t c = code(x[16 * part + i], scale, 0, levels, 32);
      low[i] |= static_cast<uint8_t>((c & 15) << (quarter / 2 * 4));
      high[i] |= static_cast<uint8_t>(c >> 4 << (quarter * 2));
    }
  }
}

// For activations: with the sums of sixteen codes each, which products with minima need.
void q8_k(const float* x, uint8_t* b) {
  const IntegerLevels levels{-127, 127};
  const float d = ggml::fit_scale<256>(x, levels, {126, 128, 5}, false);
  store_le(b, d);
  for (int part = 0; part < 16; ++part) {
    int sum = 0;
    for (int i = 16 * part; i < 16 * (part + 1); ++i) {
      b[4 + i] = code(x[i], d, 0, levels, 0);
      sum += static_cast<int8_t>(b[4 + i]);
    }
    store_le(b + 260 + 2 * part, static_cast<int16_t>(sum));
  }
}

void iq4_xs(const float* x, uint8_t* b) {
  const auto g = ggml::fit_scaled<32, 8>(x, Iq4Levels(), kIq4Search, 32);
  std::memset(b, 0, info(DType::kIQ4_XS).block_bytes);
  put_half(b, g.d);
  uint16_t high = 0;
  for (size_t part = 0; part < 8; ++part) {
    const int s = g.scale[part] + 32;
    b[4 + part / 2] |= static_cast<uint8_t>((s & 15) << (part % 2 * 4));
    high = static_cast<uint16_t>(high | s >> 4 << (2 * part));
    const float scale = g.d * static_cast<float>(g.scale[part]);
    const float inverse = scale == 0 ? 0 : 1 / scale;
    uint8_t codes[32];
    for (size_t j = 0; j < 32; ++j) codes[j] = Iq4Levels::code(x[32 * part + j] * inverse);
    put_nibbles(codes, b + 8 + 16 * part);
  }
  store_le(b + 2, high);
}

// Digits 0, 1 and 2 of the levels -1, 0 and 1.
float ternary(const float* x, uint8_t* digits) {
  const float d = ggml::fit_ternary(x);
  for (int i = 0; i < 256; ++i) digits[i] = code(x[i], d, 0, IntegerLevels{-1, 1}, 1);
  return d;
}

// Five digits as a fraction of 256, rounded up, so that multiplications bring them out again.
void tq1_0(const float* x, uint8_t* b) {
  uint8_t digits[256];
  put_half(b + 52, ternary(x, digits));
  const auto put = [&](int at, const uint8_t* first, int step, int count) {
    int v = 0;
    for (int n = 0; n < 5; ++n) v = 3 * v + (n < count ? first[n * step] : 0);
    b[at] = static_cast<uint8_t>((v * 256 + 242) / 243);
  };
  for (int i = 0; i < 32; ++i) put(i, digits + i, 32, 5);
  for (int i = 0; i < 16; ++i) put(32 + i, digits + 160 + i, 16, 5);
  for (int i = 0; i < 4; ++i) put(48 + i, digits + 240 + i, 4, 4);
}

void tq2_0(const float* x, uint8_t* b) {
  uint8_t digits[256];
  put_half(b + 64, ternary(x, digits));
  std::memset(b, 0, 64);
  for (size_t i = 0; i < 256; ++i) {
    b[i / 128 * 32 + i % 32] |= static_cast<uint8_t>(digits[i] << (i / 32 % 4 * 2));
  }
}

using Encode = void (*)(const float*, uint8_t*);

Encode encoder_of(DType type) {
  return of_ggml_type<Encode>(type, {q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k,
                                     q8_k, iq4_nl, iq4_xs, mxfp4, tq1_0, tq2_0});
}

}  // namespace

void encode_ggml_blocks(DType type, const float* from, uint64_t blocks, uint8_t* to) {
  const DTypeInfo& t = info(type);
  const Encode encode = encoder_of(type);
  // What f16 scales cannot reach becomes the largest that squares and sums can take; what they
  // cannot tell from zero is zero, so that no scale is divided by zero.
  constexpr float kLargest = 0x1p40f, kSmallest = 0x1p-40f;
  std::array<float, 256> x;
  for (uint64_t i = 0; i < blocks; ++i, from += t.block_elements, to += t.block_bytes) {
    if (type == DType::kMXFP4) {
      encode(from, to);
      continue;
    }
    for (size_t k = 0; k < t.block_elements; ++k) {
      const float v = std::clamp(from[k], -kLargest, kLargest);
      x[k] = std::fabs(v) < kSmallest ? 0 : v;
    }
    encode(x.data(), to);
  }
}

FormPtr GgmlForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"type"});
  const DTypeInfo* t = find_dtype(args.name("type"));
  if (!t || !is_ggml_type(t->dtype)) {
    throw args.wrong(
        "type",
        "q4_0, q4_1, q5_0, q5_1, q8_0, q2_K to q6_K, iq4_nl, iq4_xs, mxfp4, tq1_0 or tq2_0");
  }
  const Shape shape = matrix.shape;
  if (shape.cols % t->block_elements != 0) {
    throw call.place().error(
        ErrorKind::kUsage,
        fmt::format("rows of {} elements are not whole blocks of {}, which have {}", shape.cols,
                    t->name, t->block_elements));
  }
  require_finite(matrix, "ggml");
  const uint64_t blocks = shape.size() / t->block_elements;
  Bytes out(blocks * t->block_bytes);
  encode_ggml_blocks(t->dtype, matrix.data, blocks, out.data());
  return std::make_shared<GgmlForm>(shape, t->dtype, Buffer(std::move(out)));
}

}  // namespace pith::form
