#include "pith/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "pith/base/error.h"

namespace pith {
namespace {

// The largest number of owners at one time.
class Peak {
 public:
  void enter() {
    const int now = ++now_;
    for (int seen = peak_; seen < now && !peak_.compare_exchange_weak(seen, now);) {
    }
  }
  void leave() { --now_; }
  int peak() const { return peak_; }
  int now() const { return now_; }

 private:
  std::atomic<int> now_ = 0, peak_ = 0;
};

std::vector<size_t> counting(size_t n) {
  std::vector<size_t> out(n);
  std::iota(out.begin(), out.end(), 0);
  return out;
}

TEST(ThreadCount, IsPositiveAndNoMoreThanAsked) {
  const int all = thread_count(0);
  EXPECT_GE(all, 1);
  EXPECT_EQ(thread_count(-3), all);
  EXPECT_EQ(thread_count(1), 1);
  EXPECT_EQ(thread_count(all), all);
  EXPECT_EQ(thread_count(1 << 20), all) << "no more than can run";
}

TEST(ParallelFor, CallsEveryIndexOnce) {
  for (const int threads : {0, 1, 2, 4}) {
    for (const size_t n : {0, 1, 2, 3, 1000}) {
      std::vector<std::atomic<int>> calls(n);
      parallel_for(threads, n, [&](size_t i) { ++calls.at(i); });
      for (const auto& c : calls) ASSERT_EQ(c, 1) << threads << " threads, " << n;
    }
  }
}

TEST(ParallelFor, OneThreadIsTheCallerInOrder) {
  std::vector<size_t> order;
  const auto caller = std::this_thread::get_id();
  parallel_for(1, 100, [&](size_t i) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(i);
  });
  EXPECT_EQ(order, counting(100));
}

TEST(ParallelFor, StaysWithinItsThreads) {
  for (const int threads : {1, 2, 3}) {
    Peak bodies;
    parallel_for(threads, 200, [&](size_t) {
      bodies.enter();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      bodies.leave();
    });
    EXPECT_LE(bodies.peak(), threads);
  }
}

TEST(ParallelFor, RethrowsWhatTheBodyThrew) {
  for (const int threads : {1, 4}) {
    // Of each type, with its text: callers tell errors of the data from others.
    try {
      parallel_for(threads, 1000, [](size_t i) {
        if (i == 700) fail(ErrorKind::kBase, "body {}", i);
      });
      ADD_FAILURE() << "went on";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBase);
      EXPECT_STREQ(e.what(), "body 700");
    }
    EXPECT_THROW(parallel_for(threads, 10, [](size_t) { throw std::out_of_range("x"); }),
                 std::out_of_range);
    EXPECT_THROW(parallel_for(threads, 1, [](size_t) { throw std::out_of_range("x"); }),
                 std::out_of_range);
    // The pool serves again.
    std::atomic<int> calls = 0;
    parallel_for(threads, 100, [&](size_t) { ++calls; });
    EXPECT_EQ(calls, 100);
  }
}

TEST(ParallelFor, Nests) {
  std::vector<std::vector<size_t>> sums(20, std::vector<size_t>(20));
  parallel_for(4, sums.size(), [&](size_t i) {
    parallel_for(3, sums[i].size(), [&](size_t j) { sums[i][j] = 100 * i + j; });
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    for (size_t j = 0; j < sums[i].size(); ++j) ASSERT_EQ(sums[i][j], 100 * i + j);
  }
  EXPECT_THROW(parallel_for(4, 20,
                            [](size_t i) {
                              parallel_for(3, 20, [i](size_t j) {
                                if (i == 7 && j == 7) throw std::out_of_range("inner");
                              });
                            }),
               std::out_of_range);
}

// A job that is counted, so that none can be lost.
struct Job {
  Job(size_t n, Peak& p) : number(n), owners(p) { owners.enter(); }
  ~Job() { owners.leave(); }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  size_t number, result = 0;
  Peak& owners;
};

struct Outcome {
  std::vector<size_t> results;  // in the order of consumption
  std::string error;
  int peak_jobs = 0, peak_work = 0, lost_jobs = 0;
};

enum class Where { kNowhere, kProduce, kWork, kConsume };

// Squares 0 … n - 1; throws at number 50 where it is told to.
Outcome run(int threads, size_t n, Where where = Where::kNowhere) {
  Outcome out;
  Peak jobs, work;
  size_t next = 0;
  const auto trap = [&](Where here, size_t number) {
    if (here == where && number == 50) throw std::out_of_range("at 50");
  };
  try {
    ordered_pipeline<Job>(
        threads,
        [&]() -> std::unique_ptr<Job> {
          trap(Where::kProduce, next);
          if (next == n) return nullptr;
          return std::make_unique<Job>(next++, jobs);
        },
        [&](Job& job) {
          trap(Where::kWork, job.number);
          work.enter();
          // Later jobs are faster, so that they would overtake if they could.
          std::this_thread::sleep_for(std::chrono::microseconds(job.number % 8 ? 0 : 200));
          job.result = job.number * job.number;
          work.leave();
        },
        [&](Job& job) {
          trap(Where::kConsume, job.number);
          out.results.push_back(job.result);
        });
  } catch (const std::out_of_range& e) {
    out.error = e.what();
  }
  out.peak_jobs = jobs.peak();
  out.peak_work = work.peak();
  out.lost_jobs = jobs.now();
  return out;
}

TEST(OrderedPipeline, ConsumesInTheOrderOfProductionOnAnyThreads) {
  for (const int threads : {0, 1, 2, 5}) {
    for (const size_t n : {0, 1, 2, 300}) {
      const Outcome out = run(threads, n);
      ASSERT_EQ(out.results.size(), n) << threads << " threads";
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(out.results[i], i * i) << threads << " threads";
      EXPECT_EQ(out.lost_jobs, 0);
    }
  }
}

TEST(OrderedPipeline, KeepsFewJobsAlive) {
  for (const int threads : {1, 2, 4}) {
    const Outcome out = run(threads, 300);
    EXPECT_LE(out.peak_jobs, threads + 2);
    EXPECT_LE(out.peak_work, threads);
  }
}

TEST(OrderedPipeline, StopsAtTheFirstExceptionAndLosesNoJob) {
  for (const int threads : {1, 4}) {
    for (const Where where : {Where::kProduce, Where::kWork, Where::kConsume}) {
      for (int repeat = 0; repeat < 20; ++repeat) {
        const Outcome out = run(threads, 300, where);
        ASSERT_EQ(out.error, "at 50");
        ASSERT_EQ(out.lost_jobs, 0) << threads << " threads";
        // Job 50 never came out, and what did is a prefix.
        ASSERT_LE(out.results.size(), 50u);
        for (size_t i = 0; i < out.results.size(); ++i) ASSERT_EQ(out.results[i], i * i);
      }
    }
  }
}

TEST(OrderedPipeline, WorkMayUseTheOtherLoop) {
  size_t next = 0, total = 0;
  ordered_pipeline<std::vector<size_t>>(
      4,
      [&]() -> std::unique_ptr<std::vector<size_t>> {
        return next++ < 50 ? std::make_unique<std::vector<size_t>>(100) : nullptr;
      },
      [](std::vector<size_t>& v) { parallel_for(3, v.size(), [&](size_t i) { v[i] = i; }); },
      [&](std::vector<size_t>& v) { total += std::accumulate(v.begin(), v.end(), size_t{0}); });
  EXPECT_EQ(total, 50u * 4950u);
}

}  // namespace
}  // namespace pith
