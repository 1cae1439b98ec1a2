#include "redis_connection.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cmath>
#include <ctime>

#include "pith/base/error.h"

namespace pith::kv {
namespace {

// hiredis writes to sockets that the other side may have closed; the signal of that ends programs.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigset_t waiting;
    ::sigpending(&waiting);
    had_ = sigismember(&waiting, SIGPIPE) == 1;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    const timespec now{0, 0};
    if (!had_) {
      while (::sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) continue;
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_, before_;
  bool had_;
};

timeval to_timeval(double seconds) {
  const double whole = std::floor(seconds);
  return {static_cast<time_t>(whole), static_cast<suseconds_t>((seconds - whole) * 1e6)};
}

}  // namespace

void RedisConnection::broken(std::string_view why) const {
  fail(ErrorKind::kIo, "{}: {}", url_.name(), why);
}

void RedisConnection::drop() {
  socket_ = -1;
  context_.reset();
}

void RedisConnection::interrupt() {
  interrupted_ = true;
  if (const int socket = socket_; socket >= 0) ::shutdown(socket, SHUT_RDWR);
}

Reply RedisConnection::next() {
  void* reply = nullptr;
  errno = 0;
  if (redisGetReply(context_.get(), &reply) != REDIS_OK) {
    timed_out_ = errno == EAGAIN || errno == EWOULDBLOCK;
    return nullptr;
  }
  return Reply(static_cast<redisReply*>(reply));
}

void RedisConnection::send(const RedisCommand& command) {
  std::vector<const char*> words;
  std::vector<size_t> sizes;
  for (const std::string_view word : command) {
    words.push_back(word.data());
    sizes.push_back(word.size());
  }
  redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(),
                         sizes.data());
}

Reply RedisConnection::checked(Reply reply) const {
  if (!reply) broken(why());
  if (reply->type != REDIS_REPLY_ERROR) return reply;
  const std::string_view text(reply->str, reply->len);
  if (text.starts_with("OOM")) broken(fmt::format("the server is full ({})", text));
  broken(text);
}

std::string RedisConnection::why() const {
  if (interrupted_) return "interrupted";
  if (timed_out_) return fmt::format("no answer within {} s", url_.timeout);
  return context_ && context_->err != 0 ? context_->errstr : "the connection broke";
}

void RedisConnection::connect() {
  const timeval timeout = to_timeval(url_.timeout);
  context_.reset(redisConnectWithTimeout(url_.host.c_str(), url_.port, timeout));
  if (!context_) broken("no memory");
  if (context_->err != 0) broken(context_->errstr);
  redisSetTimeout(context_.get(), timeout);
  socket_ = context_->fd;
  if (!url_.user.empty()) {
    send({"AUTH", url_.user, url_.password});
    checked(next());
  } else if (!url_.password.empty()) {
    send({"AUTH", url_.password});
    checked(next());
  }
  if (url_.db == 0) return;
  send({"SELECT", std::to_string(url_.db)});
  checked(next());
}

Reply RedisConnection::run(const RedisCommand& command) {
  Reply reply;
  run({&command, 1}, [&](size_t, Reply r) { reply = std::move(r); });
  return checked(std::move(reply));
}

void RedisConnection::run(std::span<const RedisCommand> commands,
                          const std::function<void(size_t, Reply)>& answer) {
  const NoPipeSignal quiet;
  size_t answered = 0;
  for (bool again = true;; again = false) {
    try {
      timed_out_ = false;
      if (interrupted_) broken("interrupted");
      if (!context_) connect();
      for (const RedisCommand& command : commands.subspan(answered)) send(command);
      while (answered < commands.size()) {
        Reply reply = next();
        if (!reply) break;
        answer(answered++, std::move(reply));
      }
      if (answered == commands.size()) return;
      if (!again || timed_out_) broken(why());
    } catch (...) {
      drop();  // with the answers that nobody has read
      throw;
    }
    drop();
  }
}

}  // namespace pith::kv
