// A Redis server of a benchmark's own, and a link to it whose speed is set.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pith::bench {

// On a free port of this machine, with a password, keeping nothing on disk; ends with the object.
// Throws ErrorKind::kIo where redis-server is not installed.
class RedisProcess {
 public:
  RedisProcess();
  ~RedisProcess();
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  uint16_t port() const { return port_; }
  // "redis://:PASSWORD@127.0.0.1:`port`"
  std::string url(uint16_t port) const;

 private:
  std::filesystem::path folder_;
  std::string password_;
  uint16_t port_ = 0;
  pid_t child_ = -1;
};

// Passes on what connections to its port send to another port of this machine and get back; what
// comes back as a bucket of tokens allows.
class ShapedLink {
 public:
  // seconds: added before the first of what comes back to a request.
  ShapedLink(uint16_t to, double bytes_per_second, double seconds);
  ~ShapedLink();
  ShapedLink(const ShapedLink&) = delete;
  ShapedLink& operator=(const ShapedLink&) = delete;

  uint16_t port() const { return port_; }

 private:
  struct Connection;
  void accept_all();
  void there(Connection& c) const;
  void back(Connection& c) const;

  uint16_t to_, port_ = 0;
  double rate_, latency_;
  int listener_ = -1;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::thread acceptor_;
};

}  // namespace pith::bench
