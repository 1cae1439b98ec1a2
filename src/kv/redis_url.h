// redis://[[user]:password@]host[:port][/db][?ttl=SECONDS][&timeout=SECONDS]
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pith::kv {

struct RedisUrl {
  std::string host;
  uint16_t port = 6379;
  std::string user = {}, password = {};  // empty: none
  uint64_t db = 0;
  uint64_t ttl = 0;          // seconds that a chunk is kept after it was put; 0: for ever
  double timeout = 5;        // seconds to connect, and between two pieces of an answer
  std::string name() const;  // without user and password
};

// Throws ErrorKind::kUsage, without the password.
RedisUrl parse_redis_url(std::string_view url);

}  // namespace pith::kv
