// The one error type of Pith.
//
// Everything in the library that cannot go on throws pith::Error. Its text is one line that says
// what was wrong, where (file, tensor, byte offset) and, where there is something, what to do. The
// command turns it into a message and exit code 1, the Python module into an exception.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace pith {

enum class ErrorKind {
  kData,   // malformed, truncated or corrupt input
  kIo,     // the operating system refused: missing file, no permission, full disk
  kLimit,  // correct perhaps, but larger than the caller allows
  kUsage,  // the caller asked for something that does not exist
  kBase,   // the base of a delta is missing or is another file
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

  // The same error with the place in front: "model.pith: chunk 7: checksum does not match".
  Error in(std::string_view place) const { return {kind_, fmt::format("{}: {}", place, what())}; }

 private:
  ErrorKind kind_;
};

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace pith
