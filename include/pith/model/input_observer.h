// What passes through a model while it reads, for calibration.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "pith/form/matrix.h"

namespace pith::model {

// Called with the inputs of linear layers, a row for each position that reaches them, and the
// names of the weights that take them: q, k and v, or gate and up, of a layer together. Experts
// see the rows that chose them; routers are not shown. In the order of the layers, in the thread
// that feeds the session; the inputs are valid during the call.
using InputObserver =
    std::function<void(std::span<const std::string_view> tensors, form::MatrixView inputs)>;

}  // namespace pith::model
