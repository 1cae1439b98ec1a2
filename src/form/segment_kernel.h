// Products with pieces of rows: blocks on a diagonal, or where a matrix is not zero.
#pragma once

#include <cstdint>

namespace pith::form {

// Rows of `length` floats, `stride` apart.
struct Segments {
  const float* data = nullptr;
  uint64_t rows = 0, stride = 0;
};

// out[b * stride + r] += dot(row r of w, row b of x), both of `length` floats.
void add_products(const Segments& w, const Segments& x, uint64_t length, float* out,
                  uint64_t stride);

}  // namespace pith::form
