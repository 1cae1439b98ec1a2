#include "pith/base/parallel.h"

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "handover.h"

namespace pith {

int thread_count(int requested) {
  // More threads than cores would only make oneTBB warn.
  const int cores = std::max(1, tbb::info::default_concurrency());
  return requested > 0 ? std::min(requested, cores) : cores;
}

namespace {

// Arenas stay, one for each number of threads: to make one costs more than a short loop.
tbb::task_arena& arena_of(int threads) {
  static std::mutex mutex;
  static std::map<int, tbb::task_arena> arenas;
  const std::lock_guard lock(mutex);
  return arenas.try_emplace(threads, threads).first->second;
}

}  // namespace

void parallel_for(int threads, size_t n, const std::function<void(size_t)>& body) {
  if (threads <= 1 || n <= 1) {
    for (size_t i = 0; i < n; ++i) body(i);
    return;
  }
  handover::Loop loop;
  arena_of(threads).execute([&] {
    tbb::parallel_for(
        size_t{0}, n,
        [&](size_t i) {
          const handover::Loop::Task task(loop);
          body(i);
        },
        tbb::simple_partitioner());
  });
}

namespace detail {

void ordered_pipeline(int threads, const std::function<void*()>& produce,
                      const std::function<void(void*)>& work,
                      const std::function<void(void*)>& consume,
                      const std::function<void(void*)>& destroy) {
  // Jobs that an exception leaves behind in the pipeline are destroyed here.
  std::mutex mutex;
  std::set<void*> alive;
  const auto finish = [&](void* job) {
    {
      std::lock_guard lock(mutex);
      alive.erase(job);
    }
    destroy(job);
  };
  const auto make = [&]() -> void* {
    void* job = produce();
    if (job) {
      std::lock_guard lock(mutex);
      alive.insert(job);
    }
    return job;
  };
  if (threads <= 1) {
    try {
      while (void* job = make()) {
        work(job);
        consume(job);
        finish(job);
      }
    } catch (...) {
      for (void* job : alive) destroy(job);
      throw;
    }
    return;
  }
  try {
    handover::Loop loop;
    char produced = 0, consumed = 0;  // whose turn it is
    arena_of(threads).execute([&] {
      tbb::parallel_pipeline(
          static_cast<size_t>(threads) + 2,
          tbb::make_filter<void, void*>(tbb::filter_mode::serial_in_order,
                                        [&](tbb::flow_control& control) -> void* {
                                          const handover::Loop::Task task(loop);
                                          const handover::Turn turn(&produced);
                                          void* job = make();
                                          if (!job) control.stop();
                                          if (job) handover::give(job);
                                          return job;
                                        }) &
              tbb::make_filter<void*, void*>(tbb::filter_mode::parallel,
                                             [&](void* job) {
                                               const handover::Loop::Task task(loop);
                                               handover::take(job);
                                               work(job);
                                               handover::give(job);
                                               return job;
                                             }) &
              tbb::make_filter<void*, void>(tbb::filter_mode::serial_in_order, [&](void* job) {
                const handover::Loop::Task task(loop);
                const handover::Turn turn(&consumed);
                handover::take(job);
                consume(job);
                finish(job);
              }));
    });
  } catch (...) {
    for (void* job : alive) destroy(job);
    throw;
  }
}

}  // namespace detail
}  // namespace pith
