// Vectors of eight elements coded in the lattice E8, the densest there is (Viazovska 2017), with no
// codebook but a table of 256 small patterns (QuIP#, Tseng et al. 2024).
//
// Coordinates are in quarters of the lattice's spacing, as signed bytes.
#pragma once

#include <array>
#include <cstdint>

namespace pith::form {

inline constexpr uint64_t kE8 = 8;  // elements of a vector

using E8Vector = std::array<int8_t, kE8>;

// Sixteen-bit codes ("E8P"). The low byte names one of the 256 shortest vectors of halves that are
// not negative; the next seven bits flip the signs of its first seven elements, and the last
// element's where they are an odd number; the highest bit says whether 1/4 is taken from all
// elements or added. Patterns whose sum must be odd to lie in the lattice are stored with a
// negative last element.
struct E8Tables {
  // Bytes of a vector as one word, first element lowest: what a code stands for is
  // (patterns[code & 255] ^ flips[code >> 8]) + shifts[code >> 8], byte by byte.
  alignas(64) std::array<uint64_t, 256> patterns;
  std::array<uint64_t, 256> flips, shifts;
  // Eight-bit codes: zero, the 240 shortest vectors of E8 and 15 of the next shell.
  std::array<uint64_t, 256> short_vectors;
};
const E8Tables& e8_tables();

E8Vector e8_vector(uint16_t code);
E8Vector e8_short_vector(uint8_t code);

// The code nearest to eight elements in quarters of the spacing; the first of equals.
uint16_t nearest_e8(const float* x);
uint8_t nearest_short_e8(const float* x);

}  // namespace pith::form
