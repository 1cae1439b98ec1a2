#include "integer_spread.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

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

// Lines' spreads as classes: class + origin is about the spread.
struct Lines {
  std::vector<int> classes;
  double origin = 0;
  double bits = 0;  // to tell the classes, and lost by rounding
};

// The nearest classes, or those that more lines have where that loses less than a rare one takes to
// be told. What is told is the sum of class and offset. Lines of zeros have the least class.
Lines rounded(std::vector<double> values, std::span<const int8_t> offsets, uint64_t elements) {
  for (size_t i = 0; i < values.size(); ++i) values[i] += offsets.empty() ? 0 : offsets[i];
  Lines out{std::vector<int>(values.size()), median(values), 0};
  for (double& v : values)
    v = std::isfinite(v) ? std::clamp<double>(v - out.origin, -kFarthest, kFarthest) : -kFarthest;
  for (size_t i = 0; i < values.size(); ++i)
    out.classes[i] = static_cast<int>(std::nearbyint(values[i]));
  for (int round = 0; round < 2; ++round) {
    std::array<double, 2 * kFarthest + 1> bits;
    bits.fill(1);
    for (const int q : out.classes) ++bits[static_cast<size_t>(q + kFarthest)];
    for (double& b : bits) b = std::log2(static_cast<double>(values.size() + bits.size()) / b);
    out.bits = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      double least = INFINITY;
      const int near = static_cast<int>(std::nearbyint(values[i]));
      for (int q = std::max(near - 2, -kFarthest); q <= std::min(near + 2, kFarthest); ++q) {
        const double cost =
            bits_lost(values[i] - q, elements) + bits[static_cast<size_t>(q + kFarthest)];
        if (cost >= least) continue;
        least = cost;
        out.classes[i] = q;
      }
      out.bits += least;
    }
  }
  for (size_t i = 0; i < values.size() && !offsets.empty(); ++i) out.classes[i] -= offsets[i];
  return out;
}

// Told by themselves or with the steps, as code_classes() may do it.
Lines best_rounded(const std::vector<double>& values, const std::vector<int8_t>& steps,
                   uint64_t elements) {
  Lines alone = rounded(values, {}, elements), together = rounded(values, steps, elements);
  return together.bits < alone.bits ? together : alone;
}

std::vector<int8_t> shifted(const std::vector<int>& classes, int by) {
  std::vector<int8_t> out;
  for (const int k : classes) out.push_back(static_cast<int8_t>(std::clamp(k + by, -127, 127)));
  return out;
}

}  // namespace

IntegerSpread fit_spread(MatrixView weights, const IntegerSteps& steps,
                         const IntegerScales& scales) {
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
  const Lines of_rows = best_rounded(rows, steps.rows, shape.cols);
  const Lines of_columns = best_rounded(columns, steps.columns, shape.rows);
  const double middle = of_rows.origin + of_columns.origin - 4 * std::log2(kLeastSpread);
  const auto base = static_cast<int>(std::clamp(std::nearbyint(middle), -60.0, 60.0));
  IntegerSpread out;
  out.classes.rows = shifted(of_rows.classes, 0);
  out.classes.columns = shifted(of_columns.classes, base);
  out.widest = kLeastSpread * std::exp2((middle - base + kIntegerClasses - 1) / 4.0);
  return out;
}

}  // namespace pith::form
