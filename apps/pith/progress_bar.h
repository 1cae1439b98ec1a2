// One line on a terminal that says how far the work is; and the place where an interruption is
// noticed, on a terminal or not.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "pith/base/progress.h"

namespace pith::command {

// What the work counts; of everything but bytes only the part that is done is shown.
enum class ProgressUnit { kBytes, kOther };

class ProgressBar {
 public:
  // Draws only when standard error is a terminal and `quiet` is not set.
  ProgressBar(const std::string& label, bool quiet, ProgressUnit unit = ProgressUnit::kBytes);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Callable from any thread; must not outlive the bar.
  Progress callback();
  // Takes the line away.
  void clear();
  // Since construction.
  double seconds() const;

 private:
  void draw(uint64_t done, uint64_t total);

  std::string label_;
  bool visible_;
  ProgressUnit unit_;
  bool drawn_ = false;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace pith::command
