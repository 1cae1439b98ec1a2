// How deep a template may recurse while it runs: macros call macros.
#pragma once

#include "jinja_evaluator.h"

namespace pith::model::jinja {

inline constexpr uint32_t kMaxDepthRunning = 400;

// While it lives, the evaluator is one level deeper.
class Evaluator::Deeper {
 public:
  explicit Deeper(uint32_t& depth) : depth_(depth) {
    if (depth_ >= kMaxDepthRunning) throw Trouble(ErrorKind::kLimit, "the template nests too deep");
    ++depth_;
  }
  ~Deeper() { --depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  uint32_t& depth_;
};

}  // namespace pith::model::jinja
