#include "float_product.h"

#include <algorithm>
#include <array>
#include <memory>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/float_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "float_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

// Rows and vectors whose sums fit the registers beside what they are made from.
constexpr int kRows = 4;
constexpr int kVectors = HWY_MAX_BYTES >= 64 ? 6 : 3;
// Columns at a time, so that those of kVectors vectors and kRows rows stay in the first cache.
constexpr uint64_t kColumns = 512;
// Rows that go over the same vectors before the next vectors are taken.
constexpr uint64_t kTile = 16;

struct Product {
  const uint8_t* rows;
  uint64_t row_bytes, cols;
  const float* x;
  float* out;
  uint64_t stride;
};

template <int R, int V>
HWY_INLINE void finish(const float* sums, float* out, uint64_t stride) {
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      out[static_cast<uint64_t>(v) * stride + static_cast<uint64_t>(r)] =
          sum_of(sums + (r * V + v) * static_cast<int>(kSums));
    }
  }
}

// R rows over all columns.
template <class Load, int R, int V>
HWY_INLINE void multiply_few(const Product& p) {
  alignas(64) float sums[R * V * kSums] = {};
  const uint64_t whole = p.cols - p.cols % kSums;
  add_products<Load, R, V, true>(p.rows, p.row_bytes, p.x, p.cols, whole, sums);
  add_last_products<Load, R, V>(p.rows + whole * Load::kBytes, p.row_bytes, p.x + whole, p.cols,
                                p.cols - whole, sums);
  finish<R, V>(sums, p.out, p.stride);
}

// V vectors go over all rows.
template <class Load, int V>
void multiply_vectors(Product p, uint64_t rows) {
  for (; rows >= kRows; rows -= kRows) {
    multiply_few<Load, kRows, V>(p);
    p.rows += kRows * p.row_bytes;
    p.out += kRows;
  }
  for (; rows > 0; --rows) {
    multiply_few<Load, 1, V>(p);
    p.rows += p.row_bytes;
    ++p.out;
  }
}

// Up to kTile rows of floats, a multiple of kRows, kColumns at a time.
template <int V>
void multiply_tile(const Product& p, uint64_t rows) {
  alignas(64) std::array<float, kTile * V * kSums> sums{};
  constexpr uint64_t kStep = kRows * V * kSums;
  const uint64_t whole = p.cols - p.cols % kSums;
  for (uint64_t k = 0; k < whole; k += kColumns) {
    for (uint64_t r = 0; r < rows; r += kRows) {
      add_products<LoadF32, kRows, V>(p.rows + r * p.row_bytes + 4 * k, p.row_bytes, p.x + k,
                                      p.cols, std::min(kColumns, whole - k),
                                      sums.data() + r / kRows * kStep);
    }
  }
  for (uint64_t r = 0; r < rows; r += kRows) {
    float* of_rows = sums.data() + r / kRows * kStep;
    add_last_products<LoadF32, kRows, V>(p.rows + r * p.row_bytes + 4 * whole, p.row_bytes,
                                         p.x + whole, p.cols, p.cols - whole, of_rows);
    finish<kRows, V>(of_rows, p.out + r, p.stride);
  }
}

template <class Load, int V>
void multiply_group(Product p, uint64_t rows, uint64_t vectors) {
  if constexpr (V > 0) {
    if (vectors < V) return multiply_group<Load, V - 1>(p, rows, vectors);
    if constexpr (std::is_same_v<Load, LoadF32> && V == kVectors) {
      const uint64_t whole = rows <= kTile ? rows - rows % kRows : 0;
      multiply_tile<V>(p, whole);
      p.rows += whole * p.row_bytes;
      p.out += whole;
      rows -= whole;
    }
    multiply_vectors<Load, V>(p, rows);
  }
}

template <class Load>
void multiply_all(Product p, uint64_t rows, uint64_t batch) {
  const uint64_t tile = batch <= kVectors ? rows : kTile;
  for (uint64_t r = 0; r < rows; r += tile) {
    for (uint64_t b = 0; b < batch; b += kVectors) {
      Product part = p;
      part.rows += r * p.row_bytes;
      part.x += b * p.cols;
      part.out += b * p.stride + r;
      multiply_group<Load, kVectors>(part, std::min(tile, rows - r),
                                     std::min<uint64_t>(kVectors, batch - b));
    }
  }
}

// 16-bit rows that more vectors go over than the registers hold are made floats once.
template <class Load>
void multiply_converted(DType type, Product p, uint64_t rows, uint64_t batch) {
  if (batch <= kVectors) return multiply_all<Load>(p, rows, batch);
  const uint64_t tile = tile_rows(p.cols, batch);
  float* floats = tile_memory(tile * p.cols);
  for (uint64_t r = 0; r < rows; r += tile) {
    const uint64_t n = std::min(tile, rows - r);
    floats_of(type, p.rows + r * p.row_bytes, n * p.cols, floats);
    multiply_all<LoadF32>(
        {reinterpret_cast<const uint8_t*>(floats), 4 * p.cols, p.cols, p.x, p.out + r, p.stride}, n,
        batch);
  }
}

void multiply_float_rows(const FloatRows& rows, MatrixView vectors, float* out, uint64_t stride) {
  const uint64_t width = info(rows.type).block_bytes;
  const Product p{rows.data, width * rows.cols, rows.cols, vectors.data, out, stride};
  const uint64_t batch = vectors.shape.rows;
  switch (rows.type) {
    case DType::kF16:
      return multiply_converted<LoadF16>(rows.type, p, rows.rows, batch);
    case DType::kBF16:
      return multiply_converted<LoadBF16>(rows.type, p, rows.rows, batch);
    default:
      return multiply_all<LoadF32>(p, rows.rows, batch);
  }
}

void bf16_to_floats(const uint8_t* from, uint64_t n, float* out) {
  convert<LoadBF16>(from, n, out);
}

void f16_to_floats(const uint8_t* from, uint64_t n, float* out) {
  convert<LoadF16Exactly>(from, n, out);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(multiply_float_rows);
HWY_EXPORT(bf16_to_floats);
HWY_EXPORT(f16_to_floats);

void multiply_floats(const FloatRows& rows, MatrixView vectors, float* out, uint64_t stride) {
  HWY_DYNAMIC_DISPATCH(multiply_float_rows)(rows, vectors, out, stride);
}

void floats_of(DType type, const uint8_t* from, uint64_t n, float* out) {
  if (n == 0) return;
  switch (type) {
    case DType::kF16:
      return HWY_DYNAMIC_DISPATCH(f16_to_floats)(from, n, out);
    case DType::kBF16:
      return HWY_DYNAMIC_DISPATCH(bf16_to_floats)(from, n, out);
    default:
      std::memcpy(out, from, 4 * n);
  }
}

float* tile_memory(uint64_t floats) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local uint64_t size = 0;
  if (floats > size) {
    memory = std::make_unique_for_overwrite<float[]>(floats);
    size = floats;
  }
  return memory.get();
}

uint64_t tile_rows(uint64_t cols, uint64_t batch) {
  constexpr uint64_t kFloats = uint64_t{1} << 17;  // half of a second cache of 1 MiB
  const uint64_t most = batch == 1 ? 4 : 16;
  return std::clamp<uint64_t>(kFloats / std::max<uint64_t>(cols, 1) / 4 * 4, 4, most);
}

}  // namespace pith::form
#endif
