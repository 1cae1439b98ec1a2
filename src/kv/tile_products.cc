#include "tile_products.h"

#include <algorithm>
#include <vector>

namespace pith::kv {

using form::Form;
using form::Matrix;

bool scores_directly(const Past& past, uint64_t tile) {
  if (past.along_axes(tile)) return false;  // each key has a rotation of its own
  const form::Direct direct = past.keys(tile).direct();
  return past.keys_by(tile) == By::kToken ? direct.multiply : direct.add_rows;
}

bool adds_directly(const Past& past, uint64_t tile) {
  if (past.along_axes(tile)) return false;
  const form::Direct direct = past.values(tile).direct();
  return past.values_by(tile) == By::kToken ? direct.add_rows : direct.multiply;
}

void TileQueries::score(const Past& past, uint64_t tile, float* scores, uint64_t stride) {
  const Form& keys = past.keys(tile);
  const uint64_t count = past.count(tile), rows = x_.batch();
  if (past.keys_by(tile) == By::kToken) {
    keys.prepare(x_);
    return keys.multiply(x_, 0, count, scores, stride);
  }
  for (uint64_t r = 0; r < rows; ++r) std::fill_n(scores + r * stride, count, 0.0F);
  keys.add_rows({x_.vectors().data, x_.vectors().shape.cols, rows, scores, stride});
}

void add_values(const Past& past, uint64_t tile, const form::RowSums& sums) {
  const Form& values = past.values(tile);
  if (past.values_by(tile) == By::kToken) return values.add_rows(sums);
  const uint64_t size = values.shape().rows, count = values.shape().cols;
  Matrix weights({sums.batch, count});
  for (uint64_t b = 0; b < sums.batch; ++b)
    std::copy_n(sums.weights + b * sums.weight_stride, count, weights.row(b).data());
  form::Activations x(weights.view());
  values.prepare(x);
  std::vector<float> added(sums.batch * size);
  values.multiply(x, 0, size, added.data(), size);
  for (uint64_t b = 0; b < sums.batch; ++b) {
    for (uint64_t c = 0; c < size; ++c) sums.out[b * sums.stride + c] += added[b * size + c];
  }
}

}  // namespace pith::kv
