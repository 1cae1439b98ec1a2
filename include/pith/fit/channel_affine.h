// Values that stand in for others, a channel at a time: what was kept from an earlier step for what
// this one would give, what rounded numbers give for what exact ones would.
//
//   const ChannelAffine a = fit_channels(kept.view(), wanted.view());   // wanted ~ a.scale * kept
//   + a.shift apply(a, kept);
//
// Least squares for each channel by itself; what reads the channels can take it over, at no cost
// when it runs (fold()).
#pragma once

#include <vector>

#include "pith/form/matrix.h"

namespace pith::fit {

struct ChannelAffine {
  std::vector<float> scale, shift;  // of each channel
};

// Rows are samples, columns channels; at least one row. Channels that do not vary keep their scale
// of 1. Throws ErrorKind::kUsage for other shapes.
ChannelAffine fit_channels(form::MatrixView from, form::MatrixView to);

// values[r][c] becomes scale[c] values[r][c] + shift[c]. Throws ErrorKind::kUsage for other
// columns.
void apply(const ChannelAffine& affine, form::Matrix& values);

// weights (rows x channels) and bias (rows) such that they give for the values themselves what they
// gave for those after apply(). Throws ErrorKind::kUsage for other columns or rows.
void fold(const ChannelAffine& affine, form::Matrix& weights, std::vector<float>& bias);

}  // namespace pith::fit
