// Which experts tokens go to, for calibration.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace pith::model {

struct ExpertChoice {
  uint32_t expert, row;
  float weight;  // of the expert's output in the sum
};

// Rows that went through the experts of a layer together.
struct RoutedRows {
  std::span<const ExpertChoice> choices;  // those that were kept, by expert, then by row
  std::span<const float> importance;      // of each row, as ExpertThresholds has it
};

// Called for each layer with experts before these are applied, in the thread that runs it; valid
// during the call.
using RoutingObserver = std::function<void(const RoutedRows&)>;

}  // namespace pith::model
