// What oneTBB promises, told to the thread sanitizer. oneTBB's library is not built for it, so the
// sanitizer does not see that work goes from one thread to another in order, and would take every
// such step for a race. In other builds all of this is nothing.
#pragma once

#ifdef PITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace pith::handover {

// What threads did before give() is seen by those that take() after it.
#ifdef PITH_TSAN
inline void give(void* place) { __tsan_release(place); }
inline void take(void* place) { __tsan_acquire(place); }
#else
inline void give(void*) {}
inline void take(void*) {}
#endif

// The caller's side of a loop: its tasks see what it did before, and it sees what they did, also
// when an exception ends the loop.
class Loop {
 public:
  Loop() { give(&begin_); }
  ~Loop() { take(&end_); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The tasks' side.
  class Task {
   public:
    explicit Task(Loop& loop) : loop_(loop) { take(&loop_.begin_); }
    ~Task() { give(&loop_.end_); }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

   private:
    Loop& loop_;
  };

 private:
  char begin_ = 0, end_ = 0;
};

// Tasks of which one runs at a time.
class Turn {
 public:
  explicit Turn(void* place) : place_(place) { take(place_); }
  ~Turn() { give(place_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  void* place_;
};

}  // namespace pith::handover
