// A link whose speed is set, for tests and benchmarks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace pith::kv::testing {

// Passes on what connections to its port send to another port of this machine, and what comes back
// as fast as a trace allows.
class ShapedLink {
 public:
  // Bytes a second, so many seconds after the beginning; 0: nothing comes.
  using Trace = std::function<double(double seconds)>;

  // latency: seconds before the first of what comes back to a request.
  ShapedLink(uint16_t to, Trace trace, double latency = 0);
  ShapedLink(uint16_t to, double bytes_per_second, double latency = 0)
      : ShapedLink(
            to, [=](double) { return bytes_per_second; }, latency) {}
  ~ShapedLink();
  ShapedLink(const ShapedLink&) = delete;
  ShapedLink& operator=(const ShapedLink&) = delete;

  uint16_t port() const { return port_; }
  // The trace begins now.
  void begin() { begin_ = Clock::now().time_since_epoch().count(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Connection;
  void accept_all();
  void there(Connection& c) const;
  void back(Connection& c) const;
  Clock::time_point passed(Clock::time_point from, double bytes) const;

  uint16_t to_, port_ = 0;
  Trace trace_;
  double latency_;
  std::atomic<Clock::rep> begin_;
  int listener_ = -1;
  std::atomic<bool> ending_{false};
  std::vector<std::unique_ptr<Connection>> connections_;  // of acceptor_, until it has ended
  std::thread acceptor_;
};

}  // namespace pith::kv::testing
