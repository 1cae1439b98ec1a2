// Many codes of the lattice E8 (e8.h) at a time.
#pragma once

#include <cstdint>

namespace pith::form {

struct E8Codes {
  const uint8_t* stored;  // u16, or u8 where they are short
  uint64_t first;         // code to begin with
  bool is_short;
};

// n elements, `unit` for each quarter of the lattice's spacing; `add` to what is there. Exact where
// unit is a power of two times an integer below 2^16.
void decode_e8(const E8Codes& codes, uint64_t n, float unit, bool add, float* out);

}  // namespace pith::form
