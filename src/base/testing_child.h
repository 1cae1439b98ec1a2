// Tests of what a process can do only once: limits, another user, sudden death.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace pith {

// Runs in a child process and gives its exit status, or 128 and the signal that ended it.
inline int in_child(const std::function<int()>& run) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace pith
