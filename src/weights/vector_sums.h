// Sums over vectors that pass by, for statistics of calibration.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "pith/fit/second_moment.h"
#include "pith/weights/calibration_statistics.h"

namespace pith::weights {

class VectorSums {
 public:
  VectorSums(uint64_t size, bool moments);

  // Throws ErrorKind::kData, naming what the vectors are, where one is not finite.
  void add(form::MatrixView vectors, int threads, std::string_view what);
  std::shared_ptr<const VectorStatistics> finish() const;

 private:
  uint64_t count_ = 0;
  std::vector<double> squares_, sizes_;
  std::optional<fit::SecondMoment> moments_;
};

}  // namespace pith::weights
