#include "geometry.h"

#include <array>
#include <cmath>

#include "pith/base/error.h"

namespace pith::select {
namespace {

// Sums that vectors of any width can share, so that the result is the same on all of them.
constexpr size_t kLanes = 16;

template <class Term>
float summed(std::span<const float> a, std::span<const float> b, const Term& term) {
  std::array<float, kLanes> sums = {};
  size_t i = 0;
  for (; i + kLanes <= a.size(); i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) sums[k] += term(a[i + k], b[i + k]);
  }
  float sum = 0;
  for (; i < a.size(); ++i) sum += term(a[i], b[i]);
  for (const float s : sums) sum += s;
  return sum;
}

}  // namespace

float dot(std::span<const float> a, std::span<const float> b) {
  return summed(a, b, [](float x, float y) { return x * y; });
}

float squared_distance(std::span<const float> a, std::span<const float> b) {
  return summed(a, b, [](float x, float y) { return (x - y) * (x - y); });
}

void require_finite(form::MatrixView rows) {
  for (uint64_t r = 0; r < rows.shape.rows; ++r) {
    for (const float v : rows.row(r)) {
      if (!std::isfinite(v)) fail(ErrorKind::kData, "item {}: {} in its vector", r, v);
    }
  }
}

std::vector<float> lengths(form::MatrixView rows) {
  require_finite(rows);
  std::vector<float> out(rows.shape.rows);
  for (uint64_t r = 0; r < rows.shape.rows; ++r) {
    double sum = 0;
    for (const float v : rows.row(r)) sum += double{v} * v;
    out[r] = static_cast<float>(std::sqrt(sum));
  }
  return out;
}

form::Matrix unit_rows(form::MatrixView rows) {
  const std::vector<float> size = lengths(rows);
  form::Matrix out(rows.shape);
  for (uint64_t r = 0; r < rows.shape.rows; ++r) {
    if (!(size[r] > 0)) continue;
    for (uint64_t c = 0; c < rows.shape.cols; ++c) out.row(r)[c] = rows.row(r)[c] / size[r];
  }
  return out;
}

}  // namespace pith::select
