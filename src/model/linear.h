// Matrices that take the same vectors, multiplied by them together; loops over rows.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "decoder_kernels.h"
#include "pith/base/parallel.h"
#include "pith/form/form.h"
#include "pith/model/input_observer.h"
#include "pith/model/language_model.h"

namespace pith::model {

inline void reshape(form::Matrix& matrix, uint64_t rows, uint64_t cols) {
  matrix.shape = {rows, cols};
  matrix.values.resize(matrix.shape.size());
}

// body(row), on several threads where all rows together are work enough. `cost`: of one row, in
// operations or so.
template <class Body>
void for_rows(uint64_t rows, uint64_t cost, int threads, const Body& body) {
  // Below this, waking another thread takes longer than the work.
  constexpr uint64_t kWorthThreads = 1 << 18;
  if (threads <= 1 || rows <= 1 || rows * cost < kWorthThreads) {
    for (uint64_t r = 0; r < rows; ++r) body(r);
    return;
  }
  const uint64_t some = (rows + 31) / 32;
  parallel_for(threads, (rows + some - 1) / some, [&](size_t k) {
    for (uint64_t r = k * some; r < std::min((k + 1) * some, rows); ++r) body(r);
  });
}

// made[k] = x linears[k]ᵀ + bias. The observer, if there, sees x first.
template <size_t kCount>
void apply_linears(const std::array<const Linear*, kCount>& linears, form::MatrixView x,
                   const std::array<form::Matrix*, kCount>& made, int threads,
                   const InputObserver& observer) {
  if (observer) {
    std::array<std::string_view, kCount> names;
    for (size_t k = 0; k < kCount; ++k) names[k] = linears[k]->name;
    observer(names, x);
  }
  std::array<const form::Form*, kCount> forms;
  for (size_t k = 0; k < kCount; ++k) forms[k] = linears[k]->weight.get();
  form::apply(forms, x, made, threads);
  for (size_t k = 0; k < kCount; ++k) {
    const std::vector<float>& bias = linears[k]->bias;
    if (bias.empty()) continue;
    for (uint64_t r = 0; r < x.shape.rows; ++r) {
      add(bias.data(), bias.size(), made[k]->row(r).data());
    }
  }
}

}  // namespace pith::model
