#include "rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "pith/base/error.h"
#include "some_rows.h"

namespace pith::weights {
namespace {

// Bits an element for which steps are tried.
constexpr std::array<double, 5> kBits = {1.0, 2.0, 3.0, 4.5, 8.0};
constexpr double kFewestBits = 0.02;

}  // namespace

Rate::Rate(fit::WaterFilling& fitter, const fit::Task& task)
    : name_(task.name), elements_(task.weights.shape.size()) {
  const SomeRows some(task);
  const auto n = static_cast<double>(some.elements());
  for (const double wanted : kBits) {
    const double step = fitter.step_for(some.task(), wanted);
    fitter.set_step(step);
    const fit::Fitted fitted = fitter(some.task());
    points_.push_back({std::log2(step), static_cast<double>(form::bits(*fitted.form)) / n,
                       std::log2(std::max(fitted.error / 2 / n, 1e-300))});
  }
}

Rate::Rate(const fit::Task& task, ByteView written)
    : name_(task.name), elements_(task.weights.shape.size()) {
  if (written.size() != kBits.size() * sizeof(Point)) {
    fail(ErrorKind::kData, "{}: what was measured of its bits is damaged", task.name);
  }
  points_.resize(kBits.size());
  std::memcpy(points_.data(), written.data(), written.size());
}

Bytes Rate::write() const {
  Bytes out(points_.size() * sizeof(Point));
  std::memcpy(out.data(), points_.data(), out.size());
  return out;
}

namespace {

// Along the line through the neighbours; outside, a bit and two octaves of loss an octave.
double between(const std::vector<Rate::Point>& points, double octaves, double Rate::Point::*what,
               double slope) {
  if (octaves >= points.front().octaves) {
    return points.front().*what + slope * (octaves - points.front().octaves);
  }
  if (octaves <= points.back().octaves) {
    return points.back().*what + slope * (octaves - points.back().octaves);
  }
  const auto right =
      std::ranges::find_if(points, [&](const Rate::Point& p) { return p.octaves <= octaves; });
  const auto left = right - 1;
  const double width = left->octaves - right->octaves;
  const double share = width > 0 ? (octaves - right->octaves) / width : 0;
  return (*right).*what + share * ((*left).*what - (*right).*what);
}

template <class F>
double bisect(double low, double high, const F& too_low) {
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (too_low(middle) ? low : high) = middle;
  }
  return high;
}

// Octaves between which every step makes sense.
std::pair<double, double> range(std::span<const Rate> rates) {
  double low = 1e300, high = -1e300;
  for (const Rate& r : rates) {
    low = std::min(low, r.points().back().octaves - 4);
    high = std::max(high, r.points().front().octaves + 4);
  }
  return {low, high};
}

}  // namespace

double Rate::bytes(double step) const {
  const double octaves = std::log2(step);
  // Below a bit the curve flattens: half as many bits with every octave.
  double bits = between(points_, octaves, &Point::bits, -1);
  const Point& first = points_.front();
  if (octaves > first.octaves) bits = first.bits * std::exp2(first.octaves - octaves);
  return std::max(bits, kFewestBits) * static_cast<double>(elements_) / 8;
}

double Rate::loss(double step) const {
  return std::exp2(between(points_, std::log2(step), &Point::loss, 2)) *
         static_cast<double>(elements_);
}

double bytes(std::span<const Rate> rates, double step) {
  double sum = 0;
  for (const Rate& r : rates) sum += r.bytes(step);
  return sum;
}

double loss(std::span<const Rate> rates, double step) {
  double sum = 0;
  for (const Rate& r : rates) sum += r.loss(step);
  return sum;
}

double step_for_bytes(std::span<const Rate> rates, double wanted, double correction) {
  const auto [low, high] = range(rates);
  return std::exp2(bisect(
      low, high, [&](double o) { return bytes(rates, std::exp2(o)) * correction > wanted; }));
}

double step_for_loss(std::span<const Rate> rates, double wanted) {
  const auto [low, high] = range(rates);
  // The largest step that loses no more.
  return std::exp2(
      -bisect(-high, -low, [&](double o) { return loss(rates, std::exp2(-o)) > wanted; }));
}

}  // namespace pith::weights
