// What calibration says that errors of each matrix matter.
#pragma once

#include <string_view>
#include <vector>

#include "pith/fit/metric.h"
#include "pith/weights/calibration_statistics.h"
#include "pith/weights/layer_walk.h"

namespace pith::weights {

class Importance {
 public:
  // Without statistics, errors matter by their share of each tensor.
  explicit Importance(const CalibrationStatistics* statistics) : statistics_(statistics) {}

  // Of a weight's outputs, as fit::Task has them. Experts that no token chose matter next to
  // nothing.
  std::vector<double> outputs(std::string_view name, form::MatrixView weights) const;

  // The embedding's rows are looked up, and where it is the head too they are multiplied by
  // `head_inputs` (else squared error): one metric for all rows, and what each row matters.
  struct Rows {
    fit::Metric metric;
    std::vector<double> outputs;
  };
  Rows embedding(form::MatrixView weights, bool tied, const fit::Metric& head_inputs) const;

 private:
  const CalibrationStatistics* statistics_;
};

}  // namespace pith::weights
