// The numbers that integer(...) stands for: steps of rows and columns, the trellis, and classes of
// spread.
//
// With more than one state the codes of a column go through a trellis (trellis-coded quantization:
// Marcellin & Fischer 1990; entropy-coded: Fischer & Wang 1992; as dependent quantization in VVC:
// Schwarz et al. 2019). An even state has the levels 0, ±1, ±2, …, an odd one 0, ±1/2, ±3/2, …,
// and the parity of the code chooses the next state. The states are those of Ungerboeck's codes
// for amplitude modulation (1982), which are systematic: h0 and h1 are his parity checks.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "pith/form/integer_fit.h"

namespace pith::form {

// Codes that can be stored are -kMostInteger to kMostInteger.
inline constexpr uint64_t kIntegerRows = IntegerFit::kPanelRows;
inline constexpr int kMostInteger = 32767;
inline constexpr int kMostIntegerStates = 256;

class IntegerTrellis {
 public:
  // 1, or a power of two from 4 to kMostIntegerStates.
  explicit IntegerTrellis(int states) : states_(states) {
    constexpr std::array<std::array<int, 2>, 7> kChecks = {
        {{05, 02}, {013, 04}, {023, 04}, {045, 010}, {0103, 024}, {0235, 0126}, {0515, 0362}}};
    if (states == 1) return;
    const auto& [h0, h1] = kChecks[static_cast<size_t>(std::countr_zero(unsigned(states)) - 2)];
    feedback_ = static_cast<uint8_t>(h0 >> 1);
    input_ = static_cast<uint8_t>(h1 >> 1);
    for (int from = 0; from < states; ++from) {
      for (int parity = 0; parity < 2; ++parity) {
        const uint8_t to = next(static_cast<uint8_t>(from), parity);
        before_[to][static_cast<size_t>(parity)] = static_cast<uint8_t>(from);
      }
    }
  }

  static bool exists(int64_t states) {
    return states == 1 ||
           (states >= 4 && states <= kMostIntegerStates && (states & (states - 1)) == 0);
  }

  int states() const { return states_; }
  uint8_t feedback() const { return feedback_; }
  uint8_t input() const { return input_; }

  uint8_t next(uint8_t state, int code) const {
    const int odd_state = -(state & 1), odd_code = -(code & 1);
    return static_cast<uint8_t>((state >> 1) ^ (odd_state & feedback_) ^ (odd_code & input_));
  }

  // The state before, when a code of this parity led to `state`: for each of the parities there is
  // one.
  uint8_t before(size_t state, size_t parity) const { return before_[state][parity]; }

 private:
  int states_;
  uint8_t feedback_ = 0, input_ = 0;
  std::array<std::array<uint8_t, 2>, kMostIntegerStates> before_{};
};

inline float integer_level(int code, uint8_t state) {
  const float in = (state & 1) != 0 ? 0.5f : 0.0f;
  return static_cast<float>(code) - (code > 0 ? in : code < 0 ? -in : 0.0f);
}

// 2^(quarters / 4).
inline float quarter_octaves(int quarters) {
  constexpr std::array kQuarters = {1.0f, 1.1892071f, 1.4142135f, 1.6817929f};
  return std::ldexp(kQuarters[static_cast<size_t>(quarters & 3)], quarters >> 2);
}

// What a code of row r and column c is multiplied by is the product of two floats.
struct IntegerScales {
  IntegerScales() = default;
  explicit IntegerScales(const IntegerSteps& steps) {
    for (const int8_t q : steps.rows) rows.push_back(quarter_octaves(q));
    for (const int8_t q : steps.columns) columns.push_back(steps.step * quarter_octaves(q));
  }
  std::vector<float> rows, columns;
};

// Classes: in class k codes are spread about kLeastSpread * 2^(k / 4) wide. From kWideClass on, low
// bits of the codes are stored as they are, one more for each octave, so that what is left has few
// values.
inline constexpr int kIntegerClasses = 48;
inline constexpr double kLeastSpread = 0.125;
inline constexpr int kWideClass = 28;  // codes spread 16 wide
inline constexpr int kMostLowBits = 4;

constexpr int low_bits_of(int integer_class) {
  return integer_class < kWideClass ? 0
                                    : std::min(kMostLowBits, (integer_class - kWideClass) / 4 + 1);
}

// The class of an element is the sum of its row's and its column's number.
struct IntegerClasses {
  std::vector<int8_t> rows, columns;
};
inline int integer_class(int row, int column) {
  return std::clamp(row + column, 0, kIntegerClasses - 1);
}

}  // namespace pith::form
