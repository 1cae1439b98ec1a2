#include "stream_allocation.h"

#include <algorithm>
#include <cmath>

#include "pith/budget/solve.h"

namespace pith::kv {
namespace {

constexpr uint8_t kMostBits = 8;

// The squared error of an axis of variance 1 with so many bits.
double loss_of(uint8_t bits) {
  const double step = std::ldexp(kAxisRange, -bits);
  return bits == 0 ? 1 : std::min(1.0, step * step / 12);
}

double nominal_bits(const std::vector<Plane>& planes, double step) {
  double sum = 0;
  for (const Plane& p : planes) {
    for (uint64_t a = 0; a < p.kept; ++a)
      sum += std::clamp<double>(std::log2(kAxisRange * p.span->deviations[a] / step), 0, kMostBits);
  }
  return std::floor(sum);
}

}  // namespace

std::vector<std::vector<uint8_t>> bits_of_axes(const std::vector<Plane>& planes, double step) {
  budget::Problem problem{.resources = {"bits"}, .parts = {}};
  for (const Plane& p : planes) {
    for (uint64_t a = 0; a < p.kept; a += kAxisGroup) {
      const uint64_t n = std::min(kAxisGroup, p.kept - a);
      double variance = 0;
      for (uint64_t k = a; k < a + n; ++k)
        variance += std::pow(static_cast<double>(p.span->deviations[k]), 2);
      budget::Part part{.name = "axes", .candidates = {}};
      for (uint8_t b = 0; b <= kMostBits; ++b)
        part.candidates.push_back({"", variance * loss_of(b), {static_cast<double>(b * n)}});
      problem.parts.push_back(std::move(part));
    }
  }
  const budget::Solution solution =
      budget::solve(problem, {.within = {{"bits", nominal_bits(planes, step)}}},
                    {.solver = budget::Solver::kDynamic});
  std::vector<std::vector<uint8_t>> bits;
  size_t part = 0;
  for (const Plane& p : planes) {
    bits.emplace_back();
    for (uint64_t a = 0; a < p.kept; a += kAxisGroup, ++part)
      bits.back().resize(std::min(p.kept, a + kAxisGroup),
                         static_cast<uint8_t>(solution.chosen[part]));
  }
  return bits;
}

}  // namespace pith::kv
