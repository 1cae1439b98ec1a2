// Where the windows of convolutions and pools lie in an image. Images have two dimensions here;
// those with one are a row.
#pragma once

#include <array>

#include "operation.h"

namespace pith::network {

// Of one dimension.
struct Span1 {
  int64_t kernel = 1, stride = 1, dilation = 1, before = 0, after = 0;

  // Positions of the window in `n` elements; `more`: also one that begins within them or the
  // padding before, and reaches past the end. Throws ErrorKind::kData where there is none.
  int64_t positions(int64_t n, bool more = false) const;
};

struct Window {
  std::array<Span1, 2> at;  // rows, columns
  size_t rank = 2;          // dimensions of images
  enum class Auto : uint8_t { kNone, kUpper, kLower, kValid };
  Auto padding = Auto::kNone;

  // With the padding that the size of an image says.
  Window resolved(uint64_t rows, uint64_t cols) const;
};

// From the attributes; `kernel` has the sizes of the weight, or none where the attribute
// kernel_shape says them. Throws ErrorKind::kUsage unless there are one or two dimensions, and for
// numbers out of range.
Window window_of(Attributes& attributes, std::vector<int64_t> kernel);

// An image [n, channels, (rows,) cols].
struct ImageDims {
  uint64_t count = 0, channels = 0, rows = 1, cols = 0;
};
// Throws ErrorKind::kData for another number of dimensions than the window's.
ImageDims image_dims(const Tensor& x, const Window& window);
// Of the same rank as x.
Dims dims_like(const Tensor& x, uint64_t channels, uint64_t rows, uint64_t cols);

}  // namespace pith::network
