// The arithmetic of GGML's block types, one function each. Layouts: docs/forms.md.
#include <array>
#include <cmath>
#include <cstring>

#include "ggml.h"
#include "ggml_tables.h"
#include "pith/base/half.h"

namespace pith::form {
namespace {

float half_at(const uint8_t* p) { return float_from_f16(load_le<uint16_t>(p)); }
float times(float d, int q) { return d * static_cast<float>(q); }

// Blocks of 32: element j in the low nibble of byte j, element j + 16 in the high one.

void q4_0(const uint8_t* b, float* y) {
  const float d = half_at(b);
  for (int j = 0; j < 16; ++j) {
    y[j] = times(d, (b[2 + j] & 15) - 8);
    y[j + 16] = times(d, (b[2 + j] >> 4) - 8);
  }
}

void q4_1(const uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = times(d, b[4 + j] & 15) + m;
    y[j + 16] = times(d, b[4 + j] >> 4) + m;
  }
}

// The fifth bit of element j is bit j of the word.
void q5_0(const uint8_t* b, float* y) {
  const float d = half_at(b);
  const auto high = load_le<uint32_t>(b + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = times(d, ((b[6 + j] & 15) | static_cast<int>(high >> j & 1) << 4) - 16);
    y[j + 16] = times(d, ((b[6 + j] >> 4) | static_cast<int>(high >> (j + 16) & 1) << 4) - 16);
  }
}

void q5_1(const uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  const auto high = load_le<uint32_t>(b + 4);
  for (int j = 0; j < 16; ++j) {
    y[j] = times(d, (b[8 + j] & 15) | static_cast<int>(high >> j & 1) << 4) + m;
    y[j + 16] = times(d, (b[8 + j] >> 4) | static_cast<int>(high >> (j + 16) & 1) << 4) + m;
  }
}

void q8_0(const uint8_t* b, float* y) {
  const float d = half_at(b);
  for (int j = 0; j < 32; ++j) y[j] = times(d, static_cast<int8_t>(b[2 + j]));
}

void iq4_nl(const uint8_t* b, float* y) {
  const float d = half_at(b);
  for (int j = 0; j < 16; ++j) {
    y[j] = times(d, kIq4[b[2 + j] & 15]);
    y[j + 16] = times(d, kIq4[b[2 + j] >> 4]);
  }
}

void mxfp4(const uint8_t* b, float* y) {
  const float d = std::ldexp(1.0f, b[0] - 128);
  for (int j = 0; j < 16; ++j) {
    y[j] = times(d, kFp4[b[1 + j] & 15]);
    y[j + 16] = times(d, kFp4[b[1 + j] >> 4]);
  }
}

// Blocks of 256.

void q2_k(const uint8_t* b, float* y) {
  const uint8_t *scales = b, *q = b + 16;
  const float d = half_at(b + 80), m = half_at(b + 82);
  for (int part = 0; part < 16; ++part) {  // of 16 elements
    const float scale = times(d, scales[part] & 15), least = times(m, scales[part] >> 4);
    const uint8_t* from = q + part / 8 * 32 + part % 2 * 16;
    const int shift = part % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) y[16 * part + i] = times(scale, from[i] >> shift & 3) - least;
  }
}

void q3_k(const uint8_t* b, float* y) {
  const uint8_t *high = b, *q = b + 32;
  const std::array<int, 16> scales = q3_scales(b + 96);
  const float d = half_at(b + 108);
  for (int part = 0; part < 16; ++part) {
    const float scale = times(d, scales[static_cast<size_t>(part)]);
    const int first = part % 2 * 16, shift = part % 8 / 2 * 2, bit = part / 2;
    const uint8_t* from = q + part / 8 * 32 + first;
    for (int i = 0; i < 16; ++i) {
      y[16 * part + i] =
          times(scale, (from[i] >> shift & 3) - (high[first + i] >> bit & 1 ? 0 : 4));
    }
  }
}

void q4_k(const uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int part = 0; part < 8; ++part) {  // of 32 elements
    const ScaleMin s = k4_scale(b + 4, part);
    const float scale = times(d, s.scale), least = times(m, s.least);
    const uint8_t* from = b + 16 + part / 2 * 32;
    const int shift = part % 2 * 4;
    for (int i = 0; i < 32; ++i) y[32 * part + i] = times(scale, from[i] >> shift & 15) - least;
  }
}

void q5_k(const uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  const uint8_t* high = b + 16;
  for (int part = 0; part < 8; ++part) {
    const ScaleMin s = k4_scale(b + 4, part);
    const float scale = times(d, s.scale), least = times(m, s.least);
    const uint8_t* from = b + 48 + part / 2 * 32;
    const int shift = part % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      y[32 * part + i] = times(scale, (from[i] >> shift & 15) + (high[i] >> part & 1) * 16) - least;
    }
  }
}

void q6_k(const uint8_t* b, float* y) {
  const float d = half_at(b + 208);
  for (int part = 0; part < 16; ++part) {
    const float scale = times(d, static_cast<int8_t>(b[192 + part]));
    const int quarter = part % 8 / 2, first = part % 2 * 16;  // of 32 elements, in a half of 128
    const uint8_t* low = b + part / 8 * 64 + quarter % 2 * 32 + first;
    const uint8_t* high = b + 128 + part / 8 * 32 + first;
    for (int i = 0; i < 16; ++i) {
      const int q = (low[i] >> (quarter / 2 * 4) & 15) | (high[i] >> (quarter * 2) & 3) << 4;
      y[16 * part + i] = times(scale, q - 32);
    }
  }
}

void q8_k(const uint8_t* b, float* y) {
  const auto d = load_le<float>(b);
  for (int i = 0; i < 256; ++i) y[i] = times(d, static_cast<int8_t>(b[4 + i]));
}

void iq4_xs(const uint8_t* b, float* y) {
  const float d = half_at(b);
  const auto high = load_le<uint16_t>(b + 2);
  for (int part = 0; part < 8; ++part) {
    const int scale = (b[4 + part / 2] >> (part % 2 * 4) & 15) | (high >> (2 * part) & 3) << 4;
    const float dl = times(d, scale - 32);
    const uint8_t* from = b + 8 + part * 16;
    for (int j = 0; j < 16; ++j) {
      y[32 * part + j] = times(dl, kIq4[from[j] & 15]);
      y[32 * part + j + 16] = times(dl, kIq4[from[j] >> 4]);
    }
  }
}

void tq1_0(const uint8_t* b, float* y) {
  const float d = half_at(b + 52);
  for (int n = 0; n < 5; ++n) {
    for (int i = 0; i < 32; ++i) y[32 * n + i] = times(d, ternary_digit(b[i], n));
    for (int i = 0; i < 16; ++i) y[160 + 16 * n + i] = times(d, ternary_digit(b[32 + i], n));
  }
  for (int n = 0; n < 4; ++n) {
    for (int i = 0; i < 4; ++i) y[240 + 4 * n + i] = times(d, ternary_digit(b[48 + i], n));
  }
}

void tq2_0(const uint8_t* b, float* y) {
  const float d = half_at(b + 64);
  for (int part = 0; part < 8; ++part) {
    for (int i = 0; i < 32; ++i) {
      y[32 * part + i] = times(d, (b[part / 4 * 32 + i] >> (part % 4 * 2) & 3) - 1);
    }
  }
}

using Decode = void (*)(const uint8_t*, float*);

Decode decoder_of(DType type) {
  return of_ggml_type<Decode>(type, {q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k,
                                     q8_k, iq4_nl, iq4_xs, mxfp4, tq1_0, tq2_0});
}

}  // namespace

bool is_ggml_type(DType type) { return decoder_of(type) != nullptr; }

void decode_ggml_block(DType type, const uint8_t* block, float* out) {
  decoder_of(type)(block, out);
}

}  // namespace pith::form
