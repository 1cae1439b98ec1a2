// Long work on another thread, while the calling thread keeps the interpreter alive: it delivers
// Ctrl-C (which Python only notices in its own thread) and calls the caller's progress function.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <future>

#include "pith/base/progress.h"

namespace pith::python {

// Runs body(progress); `callback`: None or a function of (done, total). An exception of the
// callback or a KeyboardInterrupt stops the work, waits for it and is raised.
template <class Body>
auto interruptible(const pybind11::object& callback, Body&& body) {
  namespace py = pybind11;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> done = 0, total = 0;
  const Progress progress = [&](uint64_t d, uint64_t t) {
    done = d;
    total = t;
    return !stop;
  };
  auto work = std::async(std::launch::async, [&] { return body(progress); });
  const auto wait = [&](auto&& how) {
    py::gil_scoped_release unlocked;
    return how();
  };
  const auto ready = [&] {
    return wait([&] { return work.wait_for(std::chrono::milliseconds(50)); }) ==
           std::future_status::ready;
  };
  try {
    while (!ready()) {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!callback.is_none()) callback(done.load(), total.load());
    }
  } catch (...) {
    stop = true;
    wait([&] { work.wait(); });
    throw;
  }
  auto result = work.get();
  if (!callback.is_none()) callback(done.load(), total.load());
  return result;
}

}  // namespace pith::python
