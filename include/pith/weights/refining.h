// What is done to the matrices of a model together: once each has a form of its own, or in place of
// that.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "pith/base/progress.h"
#include "pith/form/form.h"
#include "pith/model/language_model.h"
#include "pith/weights/calibration_statistics.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

struct Refining {
  const model::LanguageModel& model;      // as it was
  std::span<const std::string> matrices;  // that are to be fitted, by name
  // What they got; nothing where there are no candidates.
  const std::map<std::string, form::FormPtr, std::less<>>& forms;
  const CalibrationText& text;  // without windows: none was read
  const CalibrationStatistics* statistics = nullptr;
  std::optional<double> bytes = {};  // that all of them may take
  int threads = 0;
  Progress progress = {};
  // What a user should know of it; the last one counts.
  std::function<void(std::string)> note = [](const std::string&) {};
};

// The forms that matrices have after that; those without a new one keep theirs. Where they had
// none, each gets one.
using Refine = std::function<std::map<std::string, form::FormPtr, std::less<>>(const Refining&)>;

}  // namespace pith::weights
