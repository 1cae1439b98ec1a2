// Estimates of how much a continuous variable can say, from samples of it.
#pragma once

#include <cstdint>
#include <span>

namespace pith::math {

// Bits of one value, in equal bins from the least to the largest value; 0 where all are the same.
// From 0 to log2(bins). Values that are no numbers are left out.
double histogram_entropy(std::span<const float> values, uint64_t bins);

// Differential entropy of vectors in bits, over their dimension, by the distance of each to its
// nearest neighbour (Kozachenko and Leonenko 1987). vectors: count x size, row-major. Of equal
// vectors the distance counts as the least float. 0 for fewer than two. count^2 size work.
double nearest_neighbour_entropy(const float* vectors, uint64_t count, uint64_t size,
                                 int threads = 1);

}  // namespace pith::math
