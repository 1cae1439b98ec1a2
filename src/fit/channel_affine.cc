#include "pith/fit/channel_affine.h"

#include "pith/base/error.h"

namespace pith::fit {

using form::Matrix;
using form::MatrixView;

ChannelAffine fit_channels(MatrixView from, MatrixView to) {
  const uint64_t rows = from.shape.rows, cols = from.shape.cols;
  if (to.shape != from.shape || rows == 0) {
    fail(ErrorKind::kUsage, "{} x {} values cannot stand in for {} x {}", rows, cols, to.shape.rows,
         to.shape.cols);
  }
  std::vector<double> x(cols), y(cols), xx(cols), xy(cols);
  const auto n = static_cast<double>(rows);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      x[c] += from.row(r)[c] / n;
      y[c] += to.row(r)[c] / n;
    }
  }
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      const double off = from.row(r)[c] - x[c];
      xx[c] += off * off;
      xy[c] += off * (to.row(r)[c] - y[c]);
    }
  }
  ChannelAffine out;
  for (uint64_t c = 0; c < x.size(); ++c) {
    const double scale = xx[c] > 0 ? xy[c] / xx[c] : 1;
    out.scale.push_back(static_cast<float>(scale));
    out.shift.push_back(static_cast<float>(y[c] - scale * x[c]));
  }
  return out;
}

void apply(const ChannelAffine& affine, Matrix& values) {
  if (values.shape.cols != affine.scale.size()) {
    fail(ErrorKind::kUsage, "{} columns are not the {} channels", values.shape.cols,
         affine.scale.size());
  }
  for (uint64_t r = 0; r < values.shape.rows; ++r) {
    const auto row = values.row(r);
    for (size_t c = 0; c < row.size(); ++c) row[c] = affine.scale[c] * row[c] + affine.shift[c];
  }
}

void fold(const ChannelAffine& affine, Matrix& weights, std::vector<float>& bias) {
  if (weights.shape.cols != affine.scale.size() || bias.size() != weights.shape.rows) {
    fail(ErrorKind::kUsage, "{} x {} weights with {} biases do not read {} channels",
         weights.shape.rows, weights.shape.cols, bias.size(), affine.scale.size());
  }
  for (uint64_t r = 0; r < weights.shape.rows; ++r) {
    double added = 0;
    const auto row = weights.row(r);
    for (size_t c = 0; c < row.size(); ++c) {
      added += double{row[c]} * affine.shift[c];
      row[c] *= affine.scale[c];
    }
    bias[r] += static_cast<float>(added);
  }
}

}  // namespace pith::fit
