// Where in a text something was written, for messages that show it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "pith/base/error.h"

namespace pith::form {

// A byte of a text; of no text for what a program built. It keeps the text alive.
class Place {
 public:
  Place() = default;
  Place(std::shared_ptr<const std::string> text, size_t offset)
      : text_(std::move(text)), offset_(offset) {}

  bool known() const { return text_ != nullptr; }
  size_t offset() const { return offset_; }
  // Both count from 1, columns in characters (code points); 0 when the place is not known.
  size_t line() const;
  size_t column() const;

  // The message with the place, where it is known:
  //
  //   line 1, column 9: uniform: `bits` must be an integer from 2 to 8, got 9
  //     uniform(9)
  //             ^
  //
  // Of a long line some 70 characters are shown. Bytes that are no text are shown as U+FFFD.
  Error error(ErrorKind kind, std::string_view message) const;

 private:
  std::string_view line_text() const;

  std::shared_ptr<const std::string> text_;
  size_t offset_ = 0;
};

}  // namespace pith::form
