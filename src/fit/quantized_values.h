// The kept values of a sparse form as codes, chosen one by one in any order.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "pith/form/sparse_fit.h"
#include "pith/form/uniform_fit.h"

namespace pith::fit {

// `uniform(...)`, or this with a coder behind it.
inline bool is_uniform(const form::Expression& e) {
  const form::Expression& call = e.kind() == form::Expression::Kind::kCoder ? e.operands()[0] : e;
  return call.is_call() && call.name() == "uniform";
}

// A scale for the elements of each group of a matrix of values, each of the importance that stands
// beside it.
class GroupScales {
 public:
  GroupScales(form::UniformFit& fit, form::MatrixView values, std::vector<float> importance)
      : length_(fit.group_length()), scales_(fit.groups()), zeros_(fit.groups()) {
    const form::Shape groups = fit.groups(), shape = values.shape;
    const bool one = groups == form::Shape{1, 1};
    for (uint64_t r = 0; r < groups.rows; ++r) {
      for (uint64_t g = 0; g < groups.cols; ++g) {
        const uint64_t begin = r * shape.cols + g * length_;
        const uint64_t n = one ? shape.size() : std::min(length_, shape.cols - g * length_);
        const auto own = std::span(importance).subspan(begin, n);
        const float most = std::ranges::max(own);
        for (float& w : own) w = most > 0 ? w / most : 1;
        const form::UniformScale s = fit.fit({values.data + begin, n}, own);
        scales_.row(r)[g] = s.scale;
        zeros_.row(r)[g] = s.zero;
      }
    }
    fit.set_scales(scales_, zeros_);
  }

  form::UniformScale at(uint64_t row, uint64_t column) const {
    const uint64_t g = scales_.shape.cols == 1 ? 0 : column / length_;
    const uint64_t i = (scales_.shape.rows == 1 ? 0 : row) * scales_.shape.cols + g;
    return {scales_.values[i], zeros_.values[i]};
  }

 private:
  uint64_t length_;
  form::Matrix scales_, zeros_;
};

// Threads may choose values of rows of their own.
class QuantizedValues {
 public:
  // importance: of each column.
  QuantizedValues(const form::SparseFit& sparse, form::MatrixView weights,
                  std::span<const uint8_t> keep, std::span<const double> importance)
      : columns_(weights.shape.cols),
        values_(sparse.gather(weights)),
        fit_(sparse.values(), values_.view()),
        scales_(fit_, values_.view(), ranks(keep, importance)),
        codes_(values_.values.size()) {}

  // Rounds a kept element; what its code stands for.
  float operator()(uint64_t row, uint64_t column, float wanted) {
    const uint64_t i = begins_[row] + rank_[row * columns_ + column];
    const form::UniformScale scale = scale_of(i);
    codes_[i] = fit_.code(wanted, scale);
    return fit_.value(codes_[i], scale);
  }
  // The same without keeping it.
  float rounded(uint64_t row, uint64_t column, float wanted) const {
    const form::UniformScale scale = scale_of(begins_[row] + rank_[row * columns_ + column]);
    return fit_.value(fit_.code(wanted, scale), scale);
  }

  // Of its levels, about.
  double step(uint64_t row, uint64_t column) const {
    return std::fabs(scale_of(begins_[row] + rank_[row * columns_ + column]).scale);
  }

  form::FormPtr form() {
    if (!codes_.empty()) fit_.put(0, values_.shape.rows, codes_.data());
    return fit_.form();
  }

 private:
  form::UniformScale scale_of(uint64_t i) const {
    return scales_.at(i / values_.shape.cols, i % values_.shape.cols);
  }

  // Sets where elements are among the values; the importance of each value.
  std::vector<float> ranks(std::span<const uint8_t> keep, std::span<const double> importance) {
    rank_.resize(keep.size());
    begins_ = {0};
    std::vector<float> weights;
    for (uint64_t i = 0; i < keep.size(); ++i) {
      rank_[i] = static_cast<uint32_t>(weights.size() - begins_.back());
      if (keep[i] != 0) weights.push_back(static_cast<float>(importance[i % columns_]));
      if ((i + 1) % columns_ == 0) begins_.push_back(weights.size());
    }
    weights.resize(values_.values.size());
    return weights;
  }

  uint64_t columns_;
  std::vector<uint64_t> begins_;  // of each row among the values
  std::vector<uint32_t> rank_;    // of each kept element in its row
  form::Matrix values_;
  form::UniformFit fit_;
  GroupScales scales_;
  std::vector<uint8_t> codes_;
};

}  // namespace pith::fit
