#include "pyramid.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "pith/base/error.h"

namespace pith::form {
namespace {

constexpr PyramidIndex kTooMany = PyramidIndex{1} << 125;

// Rows of counts, one for each dimension from 0: N(d, k) = N(d-1, k) + N(d, k-1) + N(d-1, k-1).
std::vector<PyramidIndex> counts_of(uint64_t dim, uint64_t pulses) {
  const uint64_t width = pulses + 1;
  std::vector<PyramidIndex> n((dim + 1) * width);
  n[0] = 1;
  for (uint64_t d = 1; d <= dim; ++d) {
    n[d * width] = 1;
    for (uint64_t k = 1; k < width; ++k) {
      const PyramidIndex sum =
          n[(d - 1) * width + k] + n[d * width + k - 1] + n[(d - 1) * width + k - 1];
      n[d * width + k] = std::min(sum, kTooMany);
    }
  }
  return n;
}

int bits_of(PyramidIndex n) {
  int bits = 0;
  while (bits < 127 && PyramidIndex{1} << bits < n) ++bits;
  return bits;
}

}  // namespace

Pyramid::Pyramid(uint64_t dim, uint64_t pulses)
    : dim_(dim), pulses_(pulses), counts_(counts_of(dim, pulses)) {
  bits_ = bits_of(size());
  if (bits_ > kMostBits)
    fail(ErrorKind::kLimit, "pyramid: an index of {} elements and {} pulses has over {} bits", dim,
         pulses, kMostBits);
  if (bits_ < 63) small_counts_.assign(counts_.begin(), counts_.end());
}

uint64_t Pyramid::pulses_for(uint64_t dim, int bits) {
  const auto counts = counts_of(dim, kMostPulses);
  uint64_t most = 0;
  while (most < kMostPulses &&
         bits_of(counts[dim * (kMostPulses + 1) + most + 1]) <= std::min(bits, kMostBits)) {
    ++most;
  }
  return most;
}

// In order: the first element 0, 1, -1, 2, -2, …, and for each the points of the rest.
PyramidIndex Pyramid::index(std::span<const int> point) const {
  PyramidIndex index = 0;
  uint64_t left = pulses_;
  for (uint64_t i = 0; i < dim_ && left > 0; ++i) {
    const uint64_t rest = dim_ - 1 - i, size = static_cast<uint64_t>(std::abs(point[i]));
    if (size == 0) continue;
    index += count(rest, left);
    for (uint64_t k = 1; k < size; ++k) index += 2 * count(rest, left - k);
    if (point[i] < 0) index += count(rest, left - size);
    left -= size;
  }
  return index;
}

void Pyramid::point(PyramidIndex index, int* out) const {
  index = std::min(index, size() - 1);
  if (small_counts_.empty()) return point_of(index, counts_, out);
  point_of(static_cast<uint64_t>(index), small_counts_, out);
}

template <class Index>
void Pyramid::point_of(Index index, const std::vector<Index>& counts, int* out) const {
  uint64_t left = pulses_, i = 0;
  for (; i < dim_ && left > 0; ++i) {
    // Of the elements after this one, by their pulses.
    const Index* n = counts.data() + (dim_ - 1 - i) * (pulses_ + 1) + left;
    if (index < *n) {
      out[i] = 0;
      continue;
    }
    index -= *n--;
    int size = 1;
    for (; index >= 2 * *n; --n, ++size) index -= 2 * *n;
    const bool negative = index >= *n;
    if (negative) index -= *n;
    out[i] = negative ? -size : size;
    left -= static_cast<uint64_t>(size);
  }
  std::fill(out + i, out + dim_, 0);
}

void Pyramid::nearest(std::span<const float> x, int* out) const {
  double total = 0;
  for (const float v : x) total += std::fabs(v);
  std::fill_n(out, dim_, 0);
  if (!(total > 0)) {
    out[0] = static_cast<int>(pulses_);
    return;
  }
  uint64_t given = 0;
  double product = 0, square = 0;
  for (uint64_t i = 0; i < dim_; ++i) {
    out[i] = static_cast<int>(std::fabs(x[i]) / total * static_cast<double>(pulses_));
    given += static_cast<uint64_t>(out[i]);
    product += out[i] * std::fabs(double{x[i]});
    square += double(out[i]) * out[i];
  }
  for (; given < pulses_; ++given) {
    uint64_t best = 0;
    double best_cosine = -1;
    for (uint64_t i = 0; i < dim_; ++i) {
      const double p = product + std::fabs(double{x[i]}), s = square + 2 * out[i] + 1;
      const double cosine = p * p / s;
      if (cosine > best_cosine) {
        best_cosine = cosine;
        best = i;
      }
    }
    product += std::fabs(double{x[best]});
    square += 2 * out[best] + 1;
    ++out[best];
  }
  for (uint64_t i = 0; i < dim_; ++i) {
    if (x[i] < 0) out[i] = -out[i];
  }
}

}  // namespace pith::form
