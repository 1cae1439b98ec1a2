// The path through a trellis of least error where what each element's code leaves changes what the
// elements after it are to be, as error feedback has it: with q what the codes stand for, element j
// is to be
//
//   wanted_j + sum over i < j of (weight_i - q_i) U_ij,
//
// and the squares of what it then is off count D_j each.
//
// Viterbi's algorithm, in which every path that is still in the running keeps what its own latest
// errors mean for the elements to come (per-survivor processing: Raheli, Polydoros and Tzou 1995).
// Elements are settled by the best path when so many later ones have been looked at that others
// hardly ever differ there; paths that do are given up.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/base/aligned.h"

namespace pith::form {

class PathSearch {
 public:
  // Of `trellis(bits, states=2^window)`.
  PathSearch(int bits, int window);

  // Elements that are looked at after one is settled, while there are any.
  uint64_t look_ahead() const;

  struct Run {
    uint64_t n;            // elements, of which
    uint64_t settled;      // the first so many get codes; the others are there to be looked at
    const float* weights;  // of each
    const float* wanted;   // the same, and what errors before the first one mean to it
    const float* scales;   // of what codes stand for
    const double* pivots;  // D, at least 0
    const float* factor;   // U, n x n, row-major, read above the diagonal; null: zeros
    int32_t before;        // the window before the first element; -1: there is none
    int32_t after = -1;    // the window after the last element, which is settled then; -1: any
  };
  // windows: of `settled` elements; each begins with the bits that the one before ends with.
  void operator()(const Run& run, uint16_t* windows);

 private:
  void begin(const Run& run);
  void step(const Run& run, uint64_t j);
  void settle(const Run& run, uint64_t end, uint64_t seen, uint16_t* windows);

  int bits_, window_;
  uint64_t prefixes_;
  uint64_t reach_;  // elements that a path keeps the meaning of its errors for: exact, as no more
                    // of them are ever not settled
  std::vector<float> table_;                               // what windows stand for
  AlignedVector<float> scaled_;                            // the same times scale_
  float scale_ = 0;                                        // of an element
  std::vector<float> weights_, wanted_, scales_, pivots_;  // of the run, in units of its scales
  uint64_t done_ = 0;                                      // elements that are settled
  // Of each path, by the bits that the next window begins with: its cost, what its errors mean to
  // the next element and to all within reach (in a ring), the windows of its last settled groups.
  AlignedVector<float> costs_, next_costs_, owed_, ring_, next_ring_;
  std::vector<uint64_t> paths_, next_paths_;
  std::vector<uint8_t> tops_;
  std::vector<uint16_t> windows_;  // of each element within reach, in a ring, before each prefix
};

}  // namespace pith::form
