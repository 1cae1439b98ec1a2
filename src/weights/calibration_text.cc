#include "pith/weights/calibration_text.h"

#include <algorithm>

#include "pith/base/error.h"
#include "pith/model/prompt.h"

namespace pith::weights {
namespace {

constexpr uint64_t kFewest = 16;
constexpr uint64_t kHeldOutShare = 10;

}  // namespace

CalibrationText calibration_text(const model::LanguageModel& model, std::string_view text,
                                 const CalibrationSize& size) {
  if (size.tokens == 0 || size.window < 2)
    fail(ErrorKind::kUsage, "calibration takes windows of at least 2 tokens");
  const model::Tokenizer& tokenizer = model::tokenizer_of(model);
  std::vector<int32_t> ids = model::text_ids(model, text, {.add_bos = false});
  if (ids.size() < kFewest) {
    fail(ErrorKind::kData, "the text for calibration has {} tokens; at least {} are needed",
         ids.size(), kFewest);
  }
  std::vector<int32_t> start;
  if (tokenizer.adds_bos() && tokenizer.bos()) start.push_back(tokenizer.bos().value_or(0));

  CalibrationText out;
  out.begins_with_bos = !start.empty();
  const uint64_t context = std::max<uint64_t>(model.config().context, 2);
  out.length = std::min({size.window, context, ids.size() + start.size()});
  const uint64_t fresh = out.length - start.size();  // tokens of the text in a window
  uint64_t all = ids.size();
  if (all / kHeldOutShare >= out.length) {
    all -= all / kHeldOutShare;
    out.held_out.assign(ids.begin() + static_cast<int64_t>(all), ids.end());
  }
  const uint64_t most = all / fresh;
  const uint64_t count = std::clamp<uint64_t>(size.tokens / out.length, 1, most);
  for (uint64_t i = 0; i < count; ++i) {
    out.windows.insert(out.windows.end(), start.begin(), start.end());
    const auto from = ids.begin() + static_cast<int64_t>(i * most / count * fresh);
    out.windows.insert(out.windows.end(), from, from + static_cast<int64_t>(fresh));
  }
  return out;
}

CalibrationText some_windows(const CalibrationText& text, uint64_t tokens) {
  CalibrationText out = text;
  if (tokens >= text.windows.size()) return out;
  out.windows.clear();
  const uint64_t count = std::clamp<uint64_t>(tokens / text.length, 1, text.count());
  for (uint64_t i = 0; i < count; ++i) {
    const auto from =
        text.windows.begin() + static_cast<int64_t>(i * text.count() / count * text.length);
    out.windows.insert(out.windows.end(), from, from + static_cast<int64_t>(text.length));
  }
  return out;
}

}  // namespace pith::weights
