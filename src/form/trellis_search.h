// The path through a trellis with the least squared error (Viterbi 1967).
#pragma once

#include <cstdint>
#include <vector>

#include "pith/base/aligned.h"

namespace pith::form {

class TrellisSearch {
 public:
  TrellisSearch(int bits, int window);

  // windows[i]: that of element i, whose lower bits are the upper ones of the next. The path of
  // long rows is settled every 1024 elements, so that memory does not grow with them.
  void operator()(const float* x, uint64_t n, uint16_t* windows);

 private:
  void settle(uint64_t begin, uint64_t end, uint16_t* windows) const;

  int bits_, window_;
  AlignedVector<float> values_;        // of each window
  AlignedVector<float> costs_, next_;  // of each prefix: of the best path to it
  AlignedVector<float> wanted_;        // the element, for each prefix

  // Of each element and prefix: the upper bits of the window before.
  std::vector<uint8_t> choices_;
};

}  // namespace pith::form
