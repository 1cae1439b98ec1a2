// Has a form chosen for each matrix, by an allocation.
#pragma once

#include <string>
#include <vector>

#include "candidates.h"
#include "pith/weights/allocation.h"

namespace pith::weights {

struct ChooseContext {
  const model::LanguageModel& model;
  const CalibrationText& text;              // without windows: nothing is run
  const CalibrationStatistics* statistics;  // or null
  int threads = 0;
  Progress progress = {};
};

struct Choice {
  std::vector<size_t> chosen;  // a candidate for each part
  std::string note;            // what a user should know: time that ran out
};

// Throws what the allocation's function throws; ErrorKind::kUsage where what it chose is beyond
// limits, or no choice.
Choice choose(const CandidateTable& table, const Allocation& allocation, const budget::Goal& goal,
              const ChooseContext& context);

}  // namespace pith::weights
