// A Redis server of a test's own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace pith::kv::testing {

// Started on a free port of this machine with a password, without a file on disk; ended with the
// object. Throws where redis-server is not there or does not answer.
class RedisServer {
 public:
  explicit RedisServer(std::vector<std::string> options = {}, uint16_t port = 0);
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  void stop();  // at once, as if the machine had failed
  uint16_t port() const { return port_; }
  // "redis://:PASSWORD@127.0.0.1:PORT", and what follows; port: of a link to it, 0 for its own.
  std::string url(const std::string& rest = "", uint16_t port = 0) const;
  std::string log() const;

 private:
  bool start(const std::vector<std::string>& options);

  std::filesystem::path folder_;
  std::string password_;
  uint16_t port_;
  pid_t child_ = -1;
};

// A port that nobody listens on just now.
uint16_t free_port();

}  // namespace pith::kv::testing
