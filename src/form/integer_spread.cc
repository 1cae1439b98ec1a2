#include "integer_spread.h"

#include <cmath>

namespace pith::form {
namespace {

constexpr int kRounds = 3;
constexpr double kToSpread = 1.2533141373155001;  // of a normal variable over its mean size

double quarters(double mean_size) { return 4 * std::log2(mean_size * kToSpread); }

// The middle of the values that are not -inf.
double median(const std::vector<double>& values) {
  std::vector<double> finite;
  for (const double v : values) {
    if (std::isfinite(v)) finite.push_back(v);
  }
  if (finite.empty()) return 0;
  const auto middle = finite.begin() + static_cast<ptrdiff_t>(finite.size() / 2);
  std::nth_element(finite.begin(), middle, finite.end());
  return *middle;
}

// Rounded distances from `origin`; of lines of zeros, the least there is.
std::vector<int8_t> rounded(const std::vector<double>& values, double origin) {
  std::vector<int8_t> out;
  for (const double v : values) {
    const double q = std::isfinite(v) ? std::nearbyint(v - origin) : -kIntegerClasses;
    out.push_back(static_cast<int8_t>(std::clamp(q, -60.0, 60.0)));
  }
  return out;
}

}  // namespace

IntegerSpread fit_spread(MatrixView weights, const IntegerScales& scales) {
  const Shape shape = weights.shape;
  std::vector<double> a(shape.rows, 1), b(shape.cols, 1), sums;
  std::vector<float> per_step(shape.cols), share(shape.cols);
  for (uint64_t c = 0; c < shape.cols; ++c) per_step[c] = 1 / scales.columns[c];
  // Means of |w| / step, each row's over its columns' b and each column's over its rows' a.
  for (int round = 0; round < kRounds && shape.size() > 0; ++round) {
    sums.assign(shape.cols, 0);
    for (uint64_t c = 0; c < shape.cols; ++c)
      share[c] = b[c] > 0 ? static_cast<float>(per_step[c] / b[c]) : 0;
    for (uint64_t r = 0; r < shape.rows; ++r) {
      const std::span<const float> row = weights.row(r);
      double sum = 0;
      for (uint64_t c = 0; c < shape.cols; ++c) sum += double{std::fabs(row[c])} * share[c];
      a[r] = sum / (static_cast<double>(shape.cols) * scales.rows[r]);
      if (!(a[r] > 0)) continue;
      const double weight = 1 / (a[r] * scales.rows[r]);
      for (uint64_t c = 0; c < shape.cols; ++c) sums[c] += weight * std::fabs(row[c]);
    }
    for (uint64_t c = 0; c < shape.cols; ++c)
      b[c] = sums[c] * per_step[c] / static_cast<double>(shape.rows);
  }
  std::vector<double> rows, columns;
  for (const double v : a) rows.push_back(quarters(v));
  for (const double v : b) columns.push_back(quarters(v) - quarters(1));
  // Most lines lie at the middle of a class, so that few differ by chance alone.
  const double row_origin = median(rows), column_origin = median(columns);
  const double middle = row_origin + column_origin - 4 * std::log2(kLeastSpread);
  const auto base = static_cast<int>(std::clamp(std::nearbyint(middle), -60.0, 60.0));
  IntegerSpread out;
  out.classes.rows = rounded(rows, row_origin);
  out.classes.columns = rounded(columns, column_origin - base);
  out.widest = kLeastSpread * std::exp2((middle - base + kIntegerClasses - 1) / 4.0);
  return out;
}

}  // namespace pith::form
