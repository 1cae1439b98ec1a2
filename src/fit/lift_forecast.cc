// How many coordinates codewords should have, before any are fitted.
#include "lift_forecast.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "pith/base/error.h"

namespace pith::fit {
namespace {

// Channels that were never seen count for this share of the largest.
constexpr double kLeast = 1e-9;

uint64_t code_bits(uint64_t entries) { return static_cast<uint64_t>(std::bit_width(entries - 1)); }

// What is left of independent normal variables of these variances when they are coded together in
// so many bits.
double left_of(std::span<const float> variances, double bits) {
  double low = 0, high = variances.empty() ? 0 : double{variances[0]};  // of the water
  const auto needs = [&](double level) {
    double sum = 0;
    for (const float v : variances) {
      if (v > level) sum += std::log2(v / level) / 2;
    }
    return sum;
  };
  for (int i = 0; i < 100; ++i) {
    const double level = (low + high) / 2;
    (needs(level) > bits ? low : high) = level;
  }
  double sum = 0;
  for (const float v : variances) sum += std::min<double>(v, high);
  return sum;
}

}  // namespace

void require_lift(const LiftedShape& s, form::Shape matrix) {
  if (s.length == 0 || s.length > 256 || s.dim == 0 || s.dim > s.length || s.entries < 2 ||
      s.entries > 65536) {
    fail(ErrorKind::kUsage, "codewords: {} of {} numbers for runs of {} cannot be", s.entries,
         s.dim, s.length);
  }
  if (matrix.cols % s.length != 0) {
    fail(ErrorKind::kUsage, "codewords: runs of {} do not divide rows of {}", s.length,
         matrix.cols);
  }
}

std::vector<double> lift_importance(const Task& task) {
  std::vector<double> out;
  double sum = 0, most = 0;
  for (uint64_t c = 0; c < task.weights.shape.cols; ++c) {
    out.push_back(task.inputs.importance(c));
    sum += out.back();
    most = std::max(most, out.back());
  }
  for (double& h : out) {
    h = most > 0 ? std::max(h, kLeast * most) * static_cast<double>(out.size()) / sum : 1;
  }
  return out;
}

math::SymmetricEigen principal_runs(const Task& task, std::span<const double> importance,
                                    uint64_t length) {
  std::vector<double> sums(length * length);
  for (uint64_t r = 0; r < task.weights.shape.rows; ++r) {
    const double own = task.outputs.empty() ? 1 : task.outputs[r];
    for (uint64_t c = 0; c < task.weights.shape.cols; c += length) {
      const float* v = task.weights.row(r).data() + c;
      double weight = 0;
      for (uint64_t i = 0; i < length; ++i) weight += importance[c + i];
      weight *= own / static_cast<double>(length);
      for (uint64_t i = 0; i < length; ++i) {
        for (uint64_t j = 0; j <= i; ++j) sums[i * length + j] += weight * v[i] * double{v[j]};
      }
    }
  }
  double most = 0;
  for (uint64_t i = 0; i < length; ++i) most = std::max(most, sums[i * length + i]);
  std::vector<float> unit(sums.size());
  std::ranges::transform(sums, unit.begin(),
                         [&](double v) { return static_cast<float>(most > 0 ? v / most : 0); });
  math::SymmetricEigen out = math::symmetric_eigen(unit.data(), length);
  for (float& v : out.values) v = static_cast<float>(std::max(double{v}, 0.0) * most);
  return out;
}

uint64_t lifted_bytes(form::Shape matrix, const LiftedShape& s) {
  require_lift(s, matrix);
  const uint64_t codes = matrix.size() / s.length * code_bits(s.entries);
  const uint64_t lift = s.dim < s.length ? 2 * s.dim * s.length : 0;
  return (codes + 7) / 8 + 2 * s.entries * s.dim + lift;
}

uint64_t entries_within(form::Shape matrix, uint64_t length, uint64_t dim, uint64_t bytes) {
  // Of each width of codes the most entries; the widest that fits has most.
  for (uint64_t most = 65536; most >= 2; most /= 2) {
    const uint64_t least = most / 2 + 1;
    const uint64_t base = lifted_bytes(matrix, {length, dim, std::max<uint64_t>(least, 2)});
    if (base > bytes) continue;
    return std::min(most, std::max<uint64_t>(least, 2) + (bytes - base) / (2 * dim));
  }
  return 0;
}

std::vector<LiftForecast> lift_forecasts(const Task& task, uint64_t length, uint64_t bytes) {
  const form::Shape shape = task.weights.shape;
  require_lift({length, 1, 2}, shape);
  const math::SymmetricEigen axes = principal_runs(task, lift_importance(task), length);
  const auto runs = static_cast<double>(shape.size() / length);
  std::vector<LiftForecast> out;
  for (uint64_t d = 1; d <= length; ++d) {
    const uint64_t entries = entries_within(shape, length, d, bytes);
    if (entries == 0) continue;
    LiftForecast f{{length, d, entries}};
    for (uint64_t i = d; i < length; ++i) f.low_rank += axes.values[i];
    const auto k = static_cast<double>(entries);
    f.clustering = left_of(std::span(axes.values).first(d), std::log2(k)) *
                   std::max(0.0, 1 - k / std::max(runs, 1.0));
    out.push_back(f);
  }
  return out;
}

}  // namespace pith::fit
