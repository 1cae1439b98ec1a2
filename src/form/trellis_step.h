// One element of Viterbi's algorithm along the windows of `trellis(…)`.
#pragma once

#include <cstdint>

namespace pith::form {

// Vectors that are read at a prefix may reach so many floats beyond the last.
inline constexpr uint64_t kBeyondPrefixes = 16;

// Windows begin with the bits that the ones before them end with: their prefix.
struct TrellisStep {
  int bits;             // of an element
  uint64_t prefixes;    // there are 2^bits times as many windows
  const float* values;  // of windows
  const float* costs;   // of the best path to each prefix; kBeyondPrefixes more
  const float* wanted;  // what the element is to be after that path; kBeyondPrefixes more
  float weight;         // of the squared error
  float* next;          // costs of the best paths to the next prefixes
  uint8_t* tops;        // upper bits of the element's windows on these paths; of equals the least
};

// Paths are the same on every instruction set.
void trellis_step(const TrellisStep& step);

}  // namespace pith::form
