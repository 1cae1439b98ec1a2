// A quantity of each scored token, and its sums over windows.
#pragma once

#include <span>
#include <vector>

#include "pith/audit/perplexity.h"

namespace pith::audit {

class Series {
 public:
  void add(double value) { values_.push_back(value); }
  void end_window() {
    const std::span<const double> window = std::span(values_).subspan(ended_);
    if (window.empty()) return;
    means_.push_back(mean(window));
    counts_.push_back(window.size());
    sums_.push_back(means_.back() * static_cast<double>(window.size()));
    ended_ = values_.size();
  }
  Measured measured() const {
    return {mean(values_), standard_error(values_), standard_error(means_),
            bootstrap_interval(sums_, counts_)};
  }
  const std::vector<double>& values() const { return values_; }

 private:
  std::vector<double> values_, means_, sums_;
  std::vector<uint64_t> counts_;
  size_t ended_ = 0;
};

}  // namespace pith::audit
