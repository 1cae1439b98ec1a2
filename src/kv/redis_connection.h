// Commands to a Redis server, and its answers.
#pragma once

#include <hiredis/hiredis.h>

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"
#include "redis_url.h"

namespace pith::kv {

struct FreeReply {
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

inline ByteView bytes_of(const redisReply& r) { return as_bytes({r.str, r.len}); }

using RedisCommand = std::vector<std::string_view>;

// Connects at the first command. Where a connection breaks, commands that were not answered are
// sent once more over a new one: servers restart, and end connections that lay idle. Throws
// ErrorKind::kIo with the server's name.
class RedisConnection {
 public:
  explicit RedisConnection(RedisUrl url) : url_(std::move(url)) {}

  // Answers that are errors are thrown.
  Reply run(const RedisCommand& command);
  // All are sent at once; `answer` is called in their order, with the number of the command.
  void run(std::span<const RedisCommand> commands,
           const std::function<void(size_t, Reply)>& answer);

  // From another thread: what is under way fails, and so does all that follows until resume().
  void interrupt();
  void resume() { interrupted_ = false; }

  const RedisUrl& url() const { return url_; }

 private:
  struct Free {
    void operator()(redisContext* c) const { redisFree(c); }
  };

  void connect();
  void drop();
  void send(const RedisCommand& command);
  // Null: the connection broke.
  Reply next();
  // Why it broke.
  std::string why() const;
  [[noreturn]] void broken(std::string_view why) const;
  // The same reply, unless it is an error.
  Reply checked(Reply reply) const;

  RedisUrl url_;
  std::unique_ptr<redisContext, Free> context_;
  bool timed_out_ = false;
  std::atomic<int> socket_{-1};  // for interrupt()
  std::atomic<bool> interrupted_{false};
};

}  // namespace pith::kv
