#include "integer_spread.h"

#include <algorithm>
#include <array>
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

constexpr int kFarthest = 60;  // from the origin, in classes

// Bits that `elements` of a spread that is `off` classes from the one of their table have more.
double bits_lost(double off, uint64_t elements) {
  const double nats = off * (0.25 * 0.6931471805599453);
  return static_cast<double>(elements) * 1.4426950408889634 * nats * nats;
}

// Distances from `origin` as whole classes: the nearest, or a number that more lines have where
// that loses less than a rare one takes to be told. Lines of zeros have the least there is.
std::vector<int8_t> rounded(const std::vector<double>& values, double origin, uint64_t elements) {
  std::vector<int8_t> out(values.size());
  const auto exact = [&](size_t i) {
    return std::isfinite(values[i]) ? std::clamp<double>(values[i] - origin, -kFarthest, kFarthest)
                                    : -kFarthest;
  };
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int8_t>(std::nearbyint(exact(i)));
  for (int round = 0; round < 2; ++round) {
    std::array<double, 2 * kFarthest + 1> bits;
    bits.fill(1);
    for (const int8_t q : out) ++bits[static_cast<size_t>(q + kFarthest)];
    for (double& b : bits) b = std::log2(static_cast<double>(out.size() + bits.size()) / b);
    for (size_t i = 0; i < out.size(); ++i) {
      const double v = exact(i);
      double least = INFINITY;
      const int near = static_cast<int>(std::nearbyint(v));
      for (int q = std::max(near - 2, -kFarthest); q <= std::min(near + 2, kFarthest); ++q) {
        const double cost = bits_lost(v - q, elements) + bits[static_cast<size_t>(q + kFarthest)];
        if (cost >= least) continue;
        least = cost;
        out[i] = static_cast<int8_t>(q);
      }
    }
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
  out.classes.rows = rounded(rows, row_origin, shape.cols);
  out.classes.columns = rounded(columns, column_origin - base, shape.rows);
  out.widest = kLeastSpread * std::exp2((middle - base + kIntegerClasses - 1) / 4.0);
  return out;
}

}  // namespace pith::form
