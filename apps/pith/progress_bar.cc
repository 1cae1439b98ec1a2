#include "progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "message.h"
#include "signals.h"
#include "units.h"

namespace pith::command {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBetweenDraws = std::chrono::milliseconds(100);

size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string state_text(uint64_t done, uint64_t total, double seconds, ProgressUnit unit) {
  const std::string rate = rate_text(done, seconds);
  if (total == 0) return fmt::format("{}  {}", size_text(done), rate);
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const std::string left =
      done > 0 && seconds > 0.5 ? time_text(seconds / part - seconds) + " left" : "";
  if (unit == ProgressUnit::kOther) return fmt::format("{:3.0f}%  {}", 100 * part, left);
  return fmt::format("{:3.0f}%  {} of {}  {}  {}", 100 * part, size_text(done), size_text(total),
                     rate, left);
}

}  // namespace

ProgressBar::ProgressBar(const std::string& label, bool quiet, ProgressUnit unit)
    : label_(printable(label)),
      visible_(!quiet && ::isatty(STDERR_FILENO)),
      unit_(unit),
      start_(Clock::now()),
      last_(start_) {}

Progress ProgressBar::callback() {
  return [this](uint64_t done, uint64_t total) {
    if (interrupted()) return false;
    if (visible_) draw(done, total);
    return true;
  };
}

void ProgressBar::draw(uint64_t done, uint64_t total) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  const auto now = Clock::now();
  if (!lock || now - last_ < kBetweenDraws) return;
  last_ = now;
  const std::string state = state_text(done, total, seconds(), unit_);
  const size_t width = terminal_width();
  const size_t room = width > state.size() + 4 ? width - state.size() - 4 : 0;
  const std::string label = label_.size() <= room ? label_ : label_.substr(label_.size() - room);
  const std::string line = fmt::format("\r{}  {}\x1b[K", label, state).substr(0, width + 3);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::clear() {
  const std::lock_guard lock(mutex_);
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

double ProgressBar::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

}  // namespace pith::command
