// How long work tells its caller where it is. The callback may be null. It returns false to stop
// the work, which then throws ErrorKind::kIo "interrupted" and leaves nothing half-written.
#pragma once

#include <cstdint>
#include <functional>

#include "pith/base/error.h"

namespace pith {

// done and total in bytes of original data; total 0: unknown.
using Progress = std::function<bool(uint64_t done, uint64_t total)>;

inline void report(const Progress& progress, uint64_t done, uint64_t total) {
  if (progress && !progress(done, total)) fail(ErrorKind::kIo, "interrupted");
}

}  // namespace pith
