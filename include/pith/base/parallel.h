// Threads: one pool (oneTBB's) behind two loops. Results never depend on the number of threads.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace pith {

// Threads to use: `requested` if positive, else as many as the process may run on.
int thread_count(int requested);

// body(0) … body(n - 1) on up to `threads` threads; the first exception is rethrown here.
void parallel_for(int threads, size_t n, const std::function<void(size_t)>& body);

// A stream of jobs with bounded memory: produce() makes the next job or null at the end and runs
// serially in order, work() runs in parallel, consume() runs serially in the order of production.
// At most `threads + 2` jobs exist at a time. The first exception stops all and is rethrown here.
template <class Job>
void ordered_pipeline(int threads, const std::function<std::unique_ptr<Job>()>& produce,
                      const std::function<void(Job&)>& work,
                      const std::function<void(Job&)>& consume);

namespace detail {
void ordered_pipeline(int threads, const std::function<void*()>& produce,
                      const std::function<void(void*)>& work,
                      const std::function<void(void*)>& consume,
                      const std::function<void(void*)>& destroy);
}

template <class Job>
void ordered_pipeline(int threads, const std::function<std::unique_ptr<Job>()>& produce,
                      const std::function<void(Job&)>& work,
                      const std::function<void(Job&)>& consume) {
  detail::ordered_pipeline(
      threads, [&] { return static_cast<void*>(produce().release()); },
      [&](void* job) { work(*static_cast<Job*>(job)); },
      [&](void* job) { consume(*static_cast<Job*>(job)); },
      [](void* job) { delete static_cast<Job*>(job); });
}

}  // namespace pith
