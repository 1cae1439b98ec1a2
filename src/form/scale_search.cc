#include "scale_search.h"

namespace pith::form {

ScaleSample scale_sample(MatrixView matrix, ScaleGroups groups, uint64_t piece, uint64_t most) {
  const uint64_t cols = matrix.shape.cols, across = (cols + piece - 1) / piece;
  const uint64_t pieces = matrix.shape.rows * across, some = std::min(pieces, most);
  const ScaleFit scales(matrix, groups, 1);
  ScaleSample sample{piece, {}, {}};
  for (uint64_t i = 0; i < some; ++i) {
    const uint64_t at = i * pieces / some, row = at / across, begin = at % across * piece;
    for (uint64_t c = begin; c < begin + piece; ++c) {
      const float s = c < cols ? scales.scale(row, c) : 0;
      sample.values.push_back(s == 0 ? 0 : matrix.row(row)[c] / s);
    }
    sample.weights.push_back(std::pow(double{scales.scale(row, begin)}, 2));
  }
  return sample;
}

}  // namespace pith::form
