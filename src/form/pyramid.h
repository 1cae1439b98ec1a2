// Integer vectors whose magnitudes add up to K, numbered (Fischer 1986): a pyramid's points need no
// codebook, only the counts of how many there are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::form {

__extension__ using PyramidIndex = unsigned __int128;

class Pyramid {
 public:
  static constexpr uint64_t kMostDim = 256, kMostPulses = 1024;
  static constexpr int kMostBits = 124;  // of an index

  // Vectors of `dim` elements, 1 to kMostDim, magnitudes that add up to `pulses`, 1 to kMostPulses.
  // Throws ErrorKind::kLimit where there are more than 2^kMostBits.
  Pyramid(uint64_t dim, uint64_t pulses);

  uint64_t dim() const { return dim_; }
  uint64_t pulses() const { return pulses_; }
  PyramidIndex size() const { return count(dim_, pulses_); }
  int bits() const { return bits_; }  // of an index

  PyramidIndex index(std::span<const int> point) const;
  // An index beyond the last is taken for it.
  void point(PyramidIndex index, int* out) const;
  // The point whose direction is near that of x: x scaled down to the pyramid, and what is left
  // given out one by one where it brings most (Fischer 1986; Valin et al. 2012).
  void nearest(std::span<const float> x, int* out) const;

  // The most pulses of which an index has up to `bits`; 0 if none.
  static uint64_t pulses_for(uint64_t dim, int bits);

 private:
  PyramidIndex count(uint64_t dim, uint64_t pulses) const {
    return counts_[dim * (pulses_ + 1) + pulses];
  }

  template <class Index>
  void point_of(Index index, const std::vector<Index>& counts, int* out) const;

  uint64_t dim_, pulses_;
  int bits_;
  std::vector<PyramidIndex> counts_;    // of points, by dim and pulses; kTooMany where too large
  std::vector<uint64_t> small_counts_;  // the same where all that matter have 64 bits
};

}  // namespace pith::form
