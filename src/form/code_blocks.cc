#include "code_blocks.h"

// As in panel_kernel.cc.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3)

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "pith/base/bytes.h"
#include "pith/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/code_blocks.cc"
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

// Vectors whose sums are kept at a time.
constexpr uint64_t kMostVectors = 8;

// totals[vector][16] += the products of a block of sixteen rows.
template <class Codes>
HWY_INLINE void add_block(const Codes& codes, int32_t middle, const float* scales,
                          const QuantizedVectors& x, uint64_t index, uint64_t count,
                          float* totals) {
  const DF df;
  const DI di;
  for (size_t part = 0; part < kChunk; part += hn::Lanes(D8())) {
    V8 chunks[kChunks];
    codes.template load<0, 4>(0, part, chunks);
    codes.template load<4, 4>(0, part, chunks + 4);
    for (V8& c : chunks) c = turned(c);
    const VF scale = hn::LoadU(df, scales + part / 4);
    for (uint64_t v = 0; v < count; ++v) {
      const int8_t* values = x.values.data() + (index + v) * kBlockCols;
      VI dot = hn::Set(di, -middle * x.block_sums.values[index + v]);
      for (const V8& c : chunks) {
        int32_t four;
        std::memcpy(&four, values, sizeof four);
        dot = dot4<Codes::kByte>(dot, c, hn::Set(di, four));
        values += sizeof four;
      }
      float* total = totals + v * kPanelRows + part / 4;
      const VF by = hn::Mul(scale, hn::Set(df, x.scales[index + v]));
      hn::StoreU(hn::MulAdd(hn::ConvertTo(df, dot), by, hn::LoadU(df, total)), df, total);
    }
  }
}

template <class Codes>
void multiply_all(const CodeRows& rows, const QuantizedVectors& x, float* out, uint64_t stride) {
  Codes codes;
  Staged staged;
  alignas(64) std::array<float, kPanelRows> scales;
  for (uint64_t row = 0; row < rows.rows; row += kPanelRows) {
    CodeRows panel = rows;
    panel.blocks += row * rows.row_bytes;
    panel.rows = std::min(kPanelRows, rows.rows - row);
    for (uint64_t first = 0; first < x.batch; first += kMostVectors) {
      const uint64_t count = std::min(kMostVectors, x.batch - first);
      std::array<float, kMostVectors * kPanelRows> totals{};
      for (uint64_t at = 0; at < rows.cols; at += kBlockCols) {
        codes.stage(panel, at, 1, staged);
        codes.scales(panel, 0, 0, scales.data());
        add_block(codes, rows.middle, scales.data(), x, at / kBlockCols * x.batch + first, count,
                  totals.data());
      }
      for (uint64_t v = 0; v < count; ++v)
        std::copy_n(totals.data() + v * kPanelRows, panel.rows, out + (first + v) * stride + row);
    }
  }
}

void multiply(const CodeRows& rows, const QuantizedVectors& x, float* out, uint64_t stride) {
  if (rows.layout == CodeRows::Layout::kByteBlocks) {
    multiply_all<BlockChunks<8>>(rows, x, out, stride);
  } else {
    multiply_all<BlockChunks<4>>(rows, x, out, stride);
  }
}

#else

float product(const CodeRows& rows, uint64_t row, const QuantizedVectors& x, uint64_t vector) {
  const bool bytes = rows.layout == CodeRows::Layout::kByteBlocks;
  const uint64_t size = bytes ? 34 : 18;
  float total = 0;
  for (uint64_t at = 0; at < rows.cols; at += kBlockCols) {
    const uint8_t* block = rows.blocks + row * rows.row_bytes + at / kBlockCols * size;
    const uint8_t* codes = block + 2;
    const uint64_t index = at / kBlockCols * x.batch + vector;
    const int8_t* values = x.values.data() + index * kBlockCols;
    int32_t dot = 0;
    for (uint64_t c = 0; c < kBlockCols; ++c) {
      const int32_t nibble = c < 16 ? codes[c % 16] & 15 : codes[c % 16] >> 4;
      dot += values[c] * (bytes ? static_cast<int8_t>(codes[c]) : nibble - rows.middle);
    }
    const float by = float_from_f16(load_le<uint16_t>(block)) * x.scales[index];
    total = std::fma(static_cast<float>(dot), by, total);
  }
  return total;
}

void multiply(const CodeRows& rows, const QuantizedVectors& x, float* out, uint64_t stride) {
  for (uint64_t v = 0; v < x.batch; ++v) {
    for (uint64_t r = 0; r < rows.rows; ++r) out[v * stride + r] = product(rows, r, x, v);
  }
}

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(multiply);

void multiply_blocks(const CodeRows& rows, const QuantizedVectors& x, float* out, uint64_t stride) {
  HWY_DYNAMIC_DISPATCH(multiply)(rows, x, out, stride);
}

}  // namespace pith::form
#endif
