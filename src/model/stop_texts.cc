#include "stop_texts.h"

#include <algorithm>
#include <utility>

#include "pith/base/error.h"

namespace pith::model {

StopTexts::StopTexts(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) fail(ErrorKind::kUsage, "a stop text is empty");
  }
}

std::string StopTexts::push(std::string_view text) {
  if (found_) return "";
  held_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  found_ = first != std::string::npos;
  std::string out = held_.substr(0, found_ ? first : held_.size() - held_length());
  held_.erase(0, found_ ? held_.size() : out.size());
  return out;
}

std::string StopTexts::finish() { return std::exchange(held_, ""); }

// The longest end of the text with which a stop text begins.
size_t StopTexts::held_length() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) longest = n;
    }
  }
  return longest;
}

}  // namespace pith::model
