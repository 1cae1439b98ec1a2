// The text that calibration reads: windows of tokens spread over it, and its end, which is kept
// back so that what was lost can be measured on text that no fit has seen.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "pith/model/language_model.h"

namespace pith::weights {

struct CalibrationText {
  uint64_t length = 0;  // tokens of a window
  bool begins_with_bos = false;
  std::vector<int32_t> windows;   // one after the other; each begins with bos where texts do
  std::vector<int32_t> held_out;  // the last tenth of the text, without bos; empty for short texts
  uint64_t count() const { return length == 0 ? 0 : windows.size() / length; }
};

struct CalibrationSize {
  uint64_t tokens = 16384;  // of all windows; fewer where the text has fewer
  uint64_t window = 512;    // tokens of a window; fewer where the text is shorter
};

// Throws ErrorKind::kData where the model has no tokenizer or the text has fewer than 16 tokens,
// kUsage for sizes of 0.
CalibrationText calibration_text(const model::LanguageModel& model, std::string_view text,
                                 const CalibrationSize& size = {});

// Windows spread over these, of about so many tokens but at least one.
CalibrationText some_windows(const CalibrationText& text, uint64_t tokens);

}  // namespace pith::weights
