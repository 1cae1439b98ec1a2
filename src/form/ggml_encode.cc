// Blocks of GGML's types from floats: scales by least squares (ggml_scales.h) and the nearest
// codes.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ggml.h"
#include "ggml_block.h"
#include "ggml_tables.h"
#include "kinds.h"
#include "pith/base/bytes.h"
#include "pith/base/half.h"
#include "pith/form/arguments.h"

namespace pith::form {
namespace {

using ggml::IntegerLevels;

void put_half(uint8_t* to, float v) { store_le(to, f16_from_float(v)); }

constexpr std::array<float, 256> kEqual = [] {
  std::array<float, 256> ones{};
  ones.fill(1);
  return ones;
}();

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

// For activations: with the sums of sixteen codes each, which products with minima need.
void q8_k(const float* x, uint8_t* b) {
  const IntegerLevels levels{-127, 127};
  const float d = ggml::fit_scale<256>(x, kEqual.data(), levels, {126, 128, 5}, false);
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
  switch (type) {
    case DType::kMXFP4:
      return mxfp4;
    case DType::kQ8_K:
      return q8_k;
    case DType::kTQ1_0:
      return tq1_0;
    case DType::kTQ2_0:
      return tq2_0;
    default:
      return nullptr;
  }
}

void nearest(const GgmlBlockType& t, const float* x, uint8_t* to) {
  GgmlBlock block;
  fit_block(t, x, kEqual.data(), t.search, block);
  const IntegerLevels levels{static_cast<float>(t.first), static_cast<float>(t.last)};
  const auto group = static_cast<size_t>(t.group);
  for (size_t i = 0; i < static_cast<size_t>(t.block); ++i) {
    const float scale = block.d * static_cast<float>(block.scale[i / group]);
    const float zero = -(block.dmin * static_cast<float>(block.least[i / group]));
    block.codes[i] = t.iq4 ? ggml::Iq4Levels::code(scale == 0 ? 0 : x[i] * (1 / scale))
                           : code(x[i], scale, zero, levels, -t.first);
  }
  pack_block(t, block, to);
}

}  // namespace

void encode_ggml_blocks(DType type, const float* from, uint64_t blocks, uint8_t* to) {
  const DTypeInfo& t = info(type);
  const GgmlBlockType* blocks_like = ggml_block_type(type);
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
    if (blocks_like) {
      nearest(*blocks_like, x.data(), to);
    } else {
      encode(x.data(), to);
    }
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
