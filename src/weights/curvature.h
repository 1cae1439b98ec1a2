// What some fitters want to know of the loss's curvature at a matrix: full second moments of its
// output gradients, or the gradients of samples in blocks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/fit/block_curvature.h"
#include "pith/fit/metric.h"
#include "pith/weights/compress_model.h"

namespace pith::weights {

class Curvature {
 public:
  // All outlive it. wanted: of which matrices.
  Curvature(const model::LanguageModel& model, const CalibrationText& text,
            const CalibrationStatistics& statistics, const CurvatureNeeds& needs,
            const std::function<bool(std::string_view)>& wanted, int threads);

  // Null where it is not needed, or not known: for embeddings, and experts that no token chose.
  // Valid until the next call. Throws ErrorKind::kUsage for statistics that were made without.
  const fit::Metric* output_moments(std::string_view name);
  // Made for as many matrices at a time as memory has room for, from this one on in the order of
  // the model. Throws ErrorKind::kLimit where one alone has not.
  const fit::BlockCurvature* of_samples(std::string_view name);

 private:
  struct Matrix {
    std::string name;
    form::Shape shape;
  };
  uint64_t bytes(const Matrix& matrix) const;
  double damping(const Matrix& matrix) const;
  void make(size_t first);
  void add_samples();

  const model::LanguageModel& model_;
  const CalibrationText& text_;
  const CalibrationStatistics& statistics_;
  CurvatureNeeds needs_;
  int threads_;
  std::vector<Matrix> matrices_;  // of layers
  std::optional<fit::Metric> moments_;
  std::vector<int32_t> samples_;  // texts, one after the other
  std::map<std::string, fit::BlockCurvature, std::less<>> made_;
};

}  // namespace pith::weights
