// Products with rows that keep few of their elements.
#pragma once

#include <cstdint>

#include "pith/base/half.h"
#include "pith/form/matrix.h"
#include "sparse_values.h"

namespace pith::form {

inline float load_value(const PackedValues& values, uint64_t i) {
  switch (values.type) {
    case DType::kF16:
      return float_from_f16(load_le<uint16_t>(values.data + 2 * i));
    case DType::kBF16:
      return float_from_bf16(load_le<uint16_t>(values.data + 2 * i));
    default:
      return load_le<float>(values.data + 4 * i);
  }
}

// Bit c of the mask, of little-endian words of 64 columns, says that column c has the next value.
// Bits beyond the row are zero.
struct MaskedRow {
  const uint8_t* mask = nullptr;
  PackedValues values;
};

// out[c], for all columns: the row's elements.
void expand_row(const MaskedRow& row, uint64_t cols, float* out);
float masked_dot(const MaskedRow& row, uint64_t cols, const float* x);

// value[i] stands in columns[i], of u16 or (wide) u32.
struct IndexedRow {
  const uint8_t* columns = nullptr;
  bool wide = false;
  PackedValues values;
  uint64_t count = 0;
};

float indexed_dot(const IndexedRow& row, const float* x);

// Vectors side by side come in multiples of this.
inline constexpr uint64_t kBatchLanes = 16;
// sums[b] = the row times column b of `turned`, which has an input element in each row and the
// vectors of the batch side by side, in a multiple of kBatchLanes.
void indexed_products(const IndexedRow& row, MatrixView turned, float* sums);

// A row that is zero but for blocks of `length` columns from columns[i] on, as far as there are.
struct BlockRow {
  const uint64_t* columns = nullptr;
  uint64_t count = 0, length = 0, cols = 0;
  uint64_t stride = 0;  // from the values of one block to those of the next
};

float blocks_dot(const float* values, const BlockRow& row, const float* x);

}  // namespace pith::form
