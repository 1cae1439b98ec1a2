// What the columns that were rounded leave to those after them, for kTile rows of a matrix.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tile_product.h"

namespace pith::fit {

// Steps first <= p < last whose errors reach later columns together; at most kMostSteps.
struct Steps {
  uint64_t first, last;
};

template <class Factor>
class OwedErrors {
 public:
  OwedErrors(const Factor& factor, uint64_t columns)
      : factor_(factor),
        columns_(columns),
        owed_(factor.feeds_back() ? columns * kTile : 0),
        errors_(kMostSteps * kTile),
        product_(kTile * kTile) {}

  bool any() const { return factor_.feeds_back(); }
  // kTile values each: what is to be added to the weights of a step, and where the errors that its
  // rounding leaves (weight less value) are put.
  const float* at(uint64_t step) const { return owed_.data() + step * kTile; }
  float* errors(const Steps& block, uint64_t step) {
    return errors_.data() + (step - block.first) * kTile;
  }

  // Adds to what is owed at `step` the errors of the block's steps first <= p < last.
  void add(const Steps& block, uint64_t first, uint64_t last, uint64_t step) {
    if (!any() || first == last) return;
    add_multiples(factor_.row(step / kTile, first) + step % kTile, kTile, errors(block, first),
                  last - first, owed_.data() + step * kTile);
  }

  // What is owed to n steps, n * kTile values in `sums`, if all roundings among them were exact;
  // errors: as many to work with.
  void expect(uint64_t first, uint64_t n, float* sums, float* errors) const {
    if (!any() || first == 0) return std::fill_n(sums, n * kTile, 0.0f), void();
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t step = first + i;
      float *sum = sums + i * kTile, *e = errors + i * kTile;
      std::copy_n(at(step), kTile, sum);
      if (i > 0) {
        add_multiples(factor_.row(step / kTile, first) + step % kTile, kTile, errors, i, sum);
      }
      for (size_t r = 0; r < kTile; ++r) e[r] = -sum[r];
    }
  }

  // What the block's errors mean for all columns after it.
  void pass_on(const Steps& block) {
    if (!any() || block.last == columns_) return;
    for (uint64_t panel = block.last / kTile; panel * kTile < columns_; ++panel) {
      tile_product(factor_.row(panel, block.first), errors_.data(), block.last - block.first,
                   product_.data());
      const uint64_t begin = std::max(panel * kTile, block.last),
                     end = std::min((panel + 1) * kTile, columns_);
      const float* from = product_.data() + (begin - panel * kTile) * kTile;
      float* to = owed_.data() + begin * kTile;
      for (uint64_t i = 0; i < (end - begin) * kTile; ++i) to[i] += from[i];
    }
  }

 private:
  const Factor& factor_;
  uint64_t columns_;
  std::vector<float> owed_;     // by step
  std::vector<float> errors_;   // of the block's steps
  std::vector<float> product_;
};

}  // namespace pith::fit
