// Look-ups of codes and sums of what they stand for.
#pragma once

#include <cstdint>

namespace pith::form {

// Codes of so many bits have a table that fits a vector register.
inline constexpr int kMostRegisterBits = 4;

// out[i] = table[code i] for n codes in packed blocks of 64 (codes.h); table: 2^bits floats.
void look_up_scalars(const uint8_t* packed, int bits, const float* table, uint64_t n, float* out);

struct EntryTable {
  const float* values;  // of each entry `dim`
  uint64_t dim;
};

// n elements, the last run perhaps cut short; `add` to what is there.
void look_up_vectors(EntryTable table, const uint16_t* codes, uint64_t n, bool add, float* out);

// products[e] = dot(x, the first n of entry e), for all entries.
void entry_products(EntryTable table, uint64_t entries, const float* x, uint64_t n,
                    float* products);

// Products of an input with all entries, for each of so many runs.
struct EntryProducts {
  const float* values;  // runs * entries
  uint64_t entries, runs;
};

// sums[r] += the products that the codes of row r name; `stride` codes from row to row.
void add_products(const EntryProducts& products, const uint8_t* codes, uint64_t stride,
                  uint64_t rows, float* sums);

// 64 codes, one a byte, from each block of codes.h, of 1 to 8 bits.
void unpack_code_blocks(const uint8_t* packed, int bits, uint64_t blocks, uint8_t* codes);

}  // namespace pith::form
