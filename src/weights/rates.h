// How many bits a weight takes at which step, and what is lost then: measured on some of its rows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/fit/water_filling.h"

namespace pith::weights {

class Rate {
 public:
  Rate() = default;
  // Fits some of the rows with a few steps.
  Rate(fit::WaterFilling& fitter, const fit::Task& task);

  // What was measured before, as write() gave it. Throws ErrorKind::kData for other bytes.
  Rate(const fit::Task& task, ByteView written);
  Bytes write() const;

  const std::string& name() const { return name_; }
  uint64_t elements() const { return elements_; }
  // Of the whole tensor; between what was measured along lines in log(step).
  double bytes(double step) const;
  double loss(double step) const;  // half the error: divergence for a token

  struct Point {
    double octaves = 0;  // log2 of the step
    double bits = 0;     // an element
    double loss = 0;     // log2 of that of an element
  };
  const std::vector<Point>& points() const { return points_; }

 private:
  std::string name_;
  uint64_t elements_ = 0;
  std::vector<Point> points_;  // by falling step
};

// Of all tensors.
double bytes(std::span<const Rate> rates, double step);
double loss(std::span<const Rate> rates, double step);
// The step of the given bytes of all together, times `correction`; clamped to what can be.
double step_for_bytes(std::span<const Rate> rates, double wanted, double correction = 1);
double step_for_loss(std::span<const Rate> rates, double wanted);

}  // namespace pith::weights
