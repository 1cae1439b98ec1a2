// What is expected of the next element of a matrix on a number line: a mean and a spread, from the
// columns and rows seen so far and, with a base, from the base's value at the same place.
#pragma once

#include <cstdint>
#include <vector>

#include "context_mix_line.h"

namespace pith::lossless::cm {

// Turns points of the line into z scores in units of 2^-13, clamped to 16 deviations.
struct Scale {
  static constexpr int64_t kFar = int64_t{1} << 46;
  int64_t mean, factor;
  int shift;
  int64_t operator()(int64_t x) const {
    const int64_t away = std::clamp<int64_t>(x - mean, -kFar, kFar);  // factor < 2^16
    return std::clamp<int64_t>((away * factor) >> shift, -kZLimit, kZLimit);
  }
};

struct Expected {
  int64_t mean = 0;
  int32_t spread = 0;           // log16 of the mean absolute residual, 0 to 48 octaves
  int32_t column = 0, row = 0;  // its parts: the column's over the chunk's, the row's factor
  int32_t near = 0;             // log16 of the last few residuals over the chunk's
  int32_t lean = 0;             // mean over spread in units of 1/8, -8 to 7

  // mirror: of the line seen from its other end.
  Scale scale(bool mirror) const {
    // A Gaussian's deviation is 1.2533 mean absolute deviations: 5 sixteenths of an octave.
    const int32_t inverse = -(spread + 5);
    return {mirror ? -mean : mean, int64_t(kPower[size_t(inverse & 15)]), 2 - (inverse >> 4)};
  }
  uint32_t level(uint32_t step, uint32_t levels) const {  // of the spread, middle = the chunk's
    const int32_t half = int32_t(levels / 2);
    return uint32_t(std::clamp((column + row) / int32_t(step) + half, 0, int32_t(levels) - 1));
  }
};

// Points lie within +-2^45.
class Expectation {
 public:
  // base_point below is the base's value at the place, 0 without one.
  // row: elements of a row, 0 when unknown. typical: a first guess of the spread.
  Expectation(uint64_t row, int64_t typical);

  Expected next(int64_t base_point) const;
  void follow(const Expected& e, int64_t point);

 private:
  struct Column {
    int64_t spread = 0, mean = 0;
  };

  int64_t column_spread() const {
    return at_row_ == 0 ? chunk_spread_ : columns_[at_column_].spread;
  }

  std::vector<Column> columns_;
  uint64_t at_column_ = 0, at_row_ = 0, seen_ = 0;
  int64_t chunk_spread_, near_, chunk_mean_ = 0;
  int64_t row_sum_ = 0, row_expected_ = 0;
};

}  // namespace pith::lossless::cm
