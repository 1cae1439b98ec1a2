#include "some_rows.h"

#include <algorithm>

#include "pith/form/integer_fit.h"

namespace pith::weights {
namespace {

constexpr uint64_t kPanel = form::IntegerFit::kPanelRows;
constexpr uint64_t kPanels = 8;

std::vector<uint64_t> some_rows(uint64_t rows) {
  std::vector<uint64_t> out;
  const uint64_t panels = (rows + kPanel - 1) / kPanel, taken = std::min(panels, kPanels);
  for (uint64_t i = 0; i < taken; ++i) {
    const uint64_t first = i * panels / taken * kPanel;
    for (uint64_t r = first; r < std::min(first + kPanel, rows); ++r) out.push_back(r);
  }
  return out;
}

}  // namespace

SomeRows::SomeRows(const fit::Task& task) : task_(task) {
  const std::vector<uint64_t> rows = some_rows(task.weights.shape.rows);
  rows_ = form::Matrix({rows.size(), task.weights.shape.cols});
  for (uint64_t i = 0; i < rows.size(); ++i) {
    std::ranges::copy(task.weights.row(rows[i]), rows_.row(i).begin());
    if (!task.outputs.empty()) outputs_.push_back(task.outputs[rows[i]]);
  }
  // These are of all rows.
  task_.output_moments = nullptr;
  task_.curvature = nullptr;
  task_.weights = rows_.view();
  task_.outputs = outputs_;
}

}  // namespace pith::weights
