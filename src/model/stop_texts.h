// Ends a text before the first of some strings, while it is still being written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pith::model {

class StopTexts {
 public:
  explicit StopTexts(std::vector<std::string> stops);  // throws kUsage for an empty one

  // The part of the text so far, not given out before, that no continuation can make part of a stop
  // text. After a stop text was found there is no more.
  std::string push(std::string_view text);
  // What was held back, at the end of the text.
  std::string finish();
  bool found() const { return found_; }

 private:
  size_t held_length() const;

  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace pith::model
