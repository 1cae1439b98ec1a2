// Exponentials of rational numbers as 62-bit fixed point, by integer arithmetic that a compiler can
// do: tables built from them are the same bits everywhere.
#pragma once

#include <cstdint>

namespace pith::entropy {

inline constexpr uint64_t kFixedOne = uint64_t{1} << 62;

// a * b / 2^62, rounded down within two units; a, b <= 2^62.
constexpr uint64_t fixed_mul(uint64_t a, uint64_t b) {
  const uint64_t ah = a >> 31, al = a & 0x7fffffff, bh = b >> 31, bl = b & 0x7fffffff;
  return ah * bh + ((ah * bl) >> 31) + ((al * bh) >> 31);
}

// exp(-num / den) for 0 <= num <= den: the alternating series.
constexpr uint64_t exp_minus(uint64_t num, uint64_t den) {
  uint64_t sum = kFixedOne, term = kFixedOne;
  for (uint64_t n = 1; term != 0; ++n) {
    term = term / (den * n) * num;
    sum = n % 2 == 1 ? sum - term : sum + term;
  }
  return sum;
}

}  // namespace pith::entropy
