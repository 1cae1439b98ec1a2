// Some rows of a matrix, on which forms are tried.
#pragma once

#include <vector>

#include "pith/fit/fitter.h"

namespace pith::weights {

class SomeRows {
 public:
  // Up to 8 panels of 64 rows, spread over the matrix. The task outlives it.
  explicit SomeRows(const fit::Task& task);
  SomeRows(const SomeRows&) = delete;
  SomeRows& operator=(const SomeRows&) = delete;

  const fit::Task& task() const { return task_; }
  uint64_t elements() const { return rows_.shape.size(); }

 private:
  form::Matrix rows_;
  std::vector<double> outputs_;
  fit::Task task_;
};

}  // namespace pith::weights
