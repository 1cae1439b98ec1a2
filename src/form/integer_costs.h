// What codes cost in bits, as far as is known before all are chosen.
#pragma once

#include "integer_tables.h"

namespace pith::form {

class IntegerCosts {
 public:
  // Of normal variables, which in the last class are `widest` wide (in steps) and in those before
  // it each a quarter of an octave less. Only of the classes first to last.
  static IntegerCosts parametric(double widest, bool trellis, int first, int last);

  // Of codes counted, with what was thought before as a few more of them.
  void update(const IntegerHistogram& histogram);

  float bits(int odd, int integer_class, int code) const {
    const int low = low_bits_of(integer_class);
    return costs_[static_cast<size_t>(odd)][static_cast<size_t>(integer_class)]
                 [symbol_place(integer_symbol(code, low))] +
           static_cast<float>(low);
  }

  // By parity of the state, class and place of the symbol; low bits are not counted.
  const float* data() const { return costs_[0][0].data(); }

 private:
  std::array<std::array<std::array<float, 256>, kIntegerClasses>, 2> costs_{};
};

}  // namespace pith::form
