#include "exponent_rows.h"

#include <bit>
#include <utility>

#include "float_product.h"
#include "pith/base/bytes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/exponent_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "float_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

// Where a row's next escapes are. Damaged codes may count more of them than there are; then the
// last ones and the zeros after them are read again and again.
class Escapes {
 public:
  Escapes(const ExponentRows& rows, uint64_t row)
      : end_(rows.escapes + rows.escape_count),
        at_(rows.escapes +
            std::min<uint64_t>(load_le<uint32_t>(rows.starts + 4 * row), rows.escape_count)) {}

  // Up to kEscapePadding of them.
  HWY_INLINE const uint8_t* next() const { return at_; }
  HWY_INLINE void skip(int n) { at_ = std::min(at_ + n, end_); }

 private:
  const uint8_t* end_;
  const uint8_t* at_;
};

HWY_INLINE uint64_t table_of(const ExponentRows& rows, uint64_t row) {
  return load_le<uint64_t>(rows.tables + row / rows.table_rows * kTableBytes);
}

// Calls f(low bytes, codes, first column) for each block of a row.
template <bool kHalf, class Function>
HWY_INLINE void for_each_block(const uint8_t* row, uint64_t cols, Function&& f) {
  constexpr uint64_t kCodes = code_bytes(kHalf);
  const uint64_t blocks = (cols + kExponentBlock - 1) / kExponentBlock;
  for (uint64_t group = 0; group < blocks; group += kGroupBlocks) {
    const uint64_t n = std::min(kGroupBlocks, blocks - group);
    const uint8_t* codes = row + n * kExponentBlock;
    for (uint64_t i = 0; i < n; ++i) {
      f(row + i * kExponentBlock, codes + i * kCodes, (group + i) * kExponentBlock);
    }
    row = codes + n * kCodes;
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_TARGET == HWY_AVX3_DL
#include "exponent_rows_avx512-inl.h"
#else
#include "exponent_rows_generic-inl.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

void decode_rows(const ExponentRows& rows, uint64_t first, uint64_t last, float* out) {
  for (uint64_t r = first; r < last; ++r, out += rows.cols) {
    rows.half ? decode_row<true>(rows, r, out) : decode_row<false>(rows, r, out);
  }
}

template <bool kHalf, int V>
void multiply_vectors(const ExponentRows& rows, uint64_t first, uint64_t last, MatrixView vectors,
                      float* out, uint64_t stride) {
  if constexpr (V > 0) {
    if (vectors.shape.rows < V) {
      return multiply_vectors<kHalf, V - 1>(rows, first, last, vectors, out, stride);
    }
    uint64_t r = first;
    for (; r + kRowsAtOnce <= last; r += kRowsAtOnce) {
      multiply_few<kHalf, kRowsAtOnce, V>(rows, r, vectors.data, out + (r - first), stride);
    }
    for (; r < last; ++r) {
      multiply_few<kHalf, 1, V>(rows, r, vectors.data, out + (r - first), stride);
    }
  }
}

void multiply_rows(const ExponentRows& rows, uint64_t first, uint64_t last, MatrixView vectors,
                   float* out, uint64_t stride) {
  if (vectors.shape.rows <= kVectorsAtOnce) {
    return rows.half
               ? multiply_vectors<true, kVectorsAtOnce>(rows, first, last, vectors, out, stride)
               : multiply_vectors<false, kVectorsAtOnce>(rows, first, last, vectors, out, stride);
  }
  const uint64_t tile = tile_rows(rows.cols, vectors.shape.rows);
  float* floats = tile_memory(tile * rows.cols);
  for (uint64_t r = first; r < last; r += tile) {
    const uint64_t n = std::min(tile, last - r);
    decode_rows(rows, r, r + n, floats);
    multiply_floats({DType::kF32, reinterpret_cast<const uint8_t*>(floats), n, rows.cols}, vectors,
                    out + (r - first), stride);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(decode_rows);
HWY_EXPORT(multiply_rows);

void decode_exponent_rows(const ExponentRows& rows, uint64_t first, uint64_t last, float* out) {
  HWY_DYNAMIC_DISPATCH(decode_rows)(rows, first, last, out);
}

void multiply_exponent_rows(const ExponentRows& rows, uint64_t first, uint64_t last,
                            MatrixView vectors, float* out, uint64_t stride) {
  HWY_DYNAMIC_DISPATCH(multiply_rows)(rows, first, last, vectors, out, stride);
}

}  // namespace pith::form
#endif
