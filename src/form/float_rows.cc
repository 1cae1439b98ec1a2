#include "float_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/float_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "float_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

// kWide times as many columns as a register holds, of all rows.
template <class Load, uint64_t kVectors, uint64_t kWide>
HWY_INLINE void add_columns(const FloatRows& rows, const RowSums& s, uint64_t at) {
  const SumTag d;
  const uint64_t lanes = hn::Lanes(d), bytes = rows.cols * Load::kBytes;
  SumVec sums[kVectors][kWide];
  for (uint64_t v = 0; v < kVectors; ++v) {
    for (uint64_t k = 0; k < kWide; ++k)
      sums[v][k] = hn::LoadU(d, s.out + v * s.stride + at + k * lanes);
  }
  const uint8_t* from = rows.data + at * Load::kBytes;
  for (uint64_t r = 0; r < rows.rows; ++r, from += bytes) {
    SumVec x[kWide];
    for (uint64_t k = 0; k < kWide; ++k) x[k] = Load::load(from + k * lanes * Load::kBytes);
    for (uint64_t v = 0; v < kVectors; ++v) {
      const SumVec w = hn::Set(d, s.weights[v * s.weight_stride + r]);
      for (uint64_t k = 0; k < kWide; ++k) sums[v][k] = hn::MulAdd(w, x[k], sums[v][k]);
    }
  }
  for (uint64_t v = 0; v < kVectors; ++v) {
    for (uint64_t k = 0; k < kWide; ++k)
      hn::StoreU(sums[v][k], d, s.out + v * s.stride + at + k * lanes);
  }
}

// The last columns, fewer than a register holds.
template <class Load>
void add_last_columns(const FloatRows& rows, const RowSums& s, uint64_t at) {
  const SumTag d;
  const uint64_t n = rows.cols - at;
  std::array<float, kSums> sums{};
  std::array<uint8_t, kSums * Load::kBytes> few{};
  for (uint64_t v = 0; v < s.batch; ++v) {
    float* out = s.out + v * s.stride + at;
    std::copy_n(out, n, sums.begin());
    SumVec sum = hn::LoadU(d, sums.data());
    for (uint64_t r = 0; r < rows.rows; ++r) {
      std::memcpy(few.data(), rows.data + (r * rows.cols + at) * Load::kBytes, n * Load::kBytes);
      sum = hn::MulAdd(hn::Set(d, s.weights[v * s.weight_stride + r]), Load::load(few.data()), sum);
    }
    hn::StoreU(sum, d, sums.data());
    std::copy_n(sums.begin(), n, out);
  }
}

template <class Load, uint64_t kVectors>
void add_vectors(const FloatRows& rows, const RowSums& s) {
  constexpr uint64_t kWide = kVectors == 4 ? 4 : 8;
  const uint64_t lanes = hn::Lanes(SumTag());
  uint64_t at = 0;
  for (; at + kWide * lanes <= rows.cols; at += kWide * lanes)
    add_columns<Load, kVectors, kWide>(rows, s, at);
  if (at + 4 * lanes <= rows.cols) {
    add_columns<Load, kVectors, 4>(rows, s, at);
    at += 4 * lanes;
  }
  for (; at + lanes <= rows.cols; at += lanes) add_columns<Load, kVectors, 1>(rows, s, at);
}

template <class Load>
void add_all(const FloatRows& rows, const RowSums& sums) {
  RowSums s = sums;
  const auto next = [&](uint64_t n) {
    s.weights += n * s.weight_stride;
    s.out += n * s.stride;
    s.batch -= n;
  };
  for (; s.batch >= 4; next(4)) add_vectors<Load, 4>(rows, s);
  for (; s.batch >= 2; next(2)) add_vectors<Load, 2>(rows, s);
  for (; s.batch >= 1; next(1)) add_vectors<Load, 1>(rows, s);
  const uint64_t whole = rows.cols / hn::Lanes(SumTag()) * hn::Lanes(SumTag());
  if (whole < rows.cols) add_last_columns<Load>(rows, sums, whole);
}

void add_rows_of_floats(const FloatRows& rows, const RowSums& sums) {
  switch (rows.type) {
    case DType::kF16:
      return add_all<LoadF16>(rows, sums);
    case DType::kBF16:
      return add_all<LoadBF16>(rows, sums);
    default:
      return add_all<LoadF32>(rows, sums);
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(add_rows_of_floats);

void add_float_rows(const FloatRows& rows, const RowSums& sums) {
  HWY_DYNAMIC_DISPATCH(add_rows_of_floats)(rows, sums);
}

}  // namespace pith::form
#endif
