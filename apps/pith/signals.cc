#include "signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace pith::command {
namespace {

constexpr unsigned kSecondsToStop = 5;
constexpr int kHighestDescriptor = 1024;

std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

// Everything below runs inside a signal handler: system calls only.

void descriptor_link(int fd, char (&link)[32]) {
  std::memcpy(link, "/proc/self/fd/", 14);
  char digits[8];
  int n = 0;
  do digits[n++] = static_cast<char>('0' + fd % 10);
  while ((fd /= 10) > 0);
  char* end = link + 14;
  while (n > 0) *end++ = digits[--n];
  *end = 0;
}

// Unfinished outputs (base/file.h: ".NAME.XXXXXXXX.part") are found by the descriptors that are
// open on them for writing.
void remove_unfinished_outputs() {
  for (int fd = 3; fd < kHighestDescriptor; ++fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) continue;
    char link[32];
    char path[4096];
    descriptor_link(fd, link);
    const ssize_t n = ::readlink(link, path, sizeof path - 1);
    if (n < 6 || n >= static_cast<ssize_t>(sizeof path) - 1) continue;
    path[n] = 0;
    if (std::memcmp(path + n - 5, ".part", 5) == 0) ::unlink(path);
  }
}

[[noreturn]] void end_now(int code, std::string_view message) {
  remove_unfinished_outputs();
  if (::write(STDERR_FILENO, message.data(), message.size()) < 0) ::_exit(code);
  ::_exit(code);
}

void on_stop(int signal) {
  int expected = 0;
  if (!stop_signal.compare_exchange_strong(expected, signal)) {
    end_now(128 + expected, "\npith: error: interrupted\n");
  }
  ::alarm(kSecondsToStop);
}

void on_alarm(int) { end_now(128 + stop_signal.load(), "pith: error: interrupted\n"); }

void on_bus_error(int) {
  end_now(1,
          "pith: error: a file that was being read became shorter meanwhile (or its disk failed); "
          "nothing was written\n");
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

// A signal that the parent ignores (nohup, background jobs) stays ignored.
void handle_unless_ignored(int signal, void (*handler)(int)) {
  struct sigaction old {};
  if (::sigaction(signal, nullptr, &old) == 0 && old.sa_handler == SIG_IGN) return;
  handle(signal, handler);
}

}  // namespace

void install_signal_handlers() {
  handle_unless_ignored(SIGINT, on_stop);
  handle_unless_ignored(SIGTERM, on_stop);
  handle_unless_ignored(SIGHUP, on_stop);
  handle(SIGALRM, on_alarm);
  handle(SIGBUS, on_bus_error);
  handle(SIGPIPE, SIG_IGN);
  handle(SIGXFSZ, SIG_IGN);  // a file size limit is an error of write(), as a full disk is
}

int interrupted() { return stop_signal.load(std::memory_order_relaxed); }

void die_of_broken_pipe() {
  handle(SIGPIPE, SIG_DFL);
  ::raise(SIGPIPE);
  ::_exit(128 + SIGPIPE);
}

}  // namespace pith::command
