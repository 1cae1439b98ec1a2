#include "bench_link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>

#include "pith/base/error.h"
#include "pith/kv/store.h"

namespace pith::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookMs = 20;  // between two looks at whether to end

sockaddr_in local(uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

// A socket bound to a free port, which is `port` then.
int bound(uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = local(0);
  socklen_t size = sizeof at;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
    fail(ErrorKind::kIo, "there is no free port");
  }
  port = ntohs(at.sin_port);
  return fd;
}

void send_all(int fd, const char* data, size_t n) {
  while (n > 0) {
    const ssize_t sent = ::send(fd, data, n, MSG_NOSIGNAL);
    if (sent <= 0) return;
    data += sent;
    n -= static_cast<size_t>(sent);
  }
}

}  // namespace

RedisProcess::RedisProcess() {
  std::random_device random;
  folder_ = std::filesystem::temp_directory_path() / fmt::format("pith-redis-{:08x}", random());
  std::filesystem::create_directory(folder_);
  password_ = fmt::format("{:08x}{:08x}", random(), random());
  ::close(bound(port_));
  std::vector<std::string> words = {"redis-server", "--port",        std::to_string(port_),
                                    "--bind",       "127.0.0.1",     "--requirepass",
                                    password_,      "--save",        "",
                                    "--dir",        folder_.string()};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  child_ = ::fork();
  if (child_ == 0) {
    const int out = ::open("/dev/null", O_WRONLY);
    ::dup2(out, STDOUT_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  for (int attempt = 0; attempt < 500; ++attempt) {
    try {
      kv::open_store(url(port_))->list();
      return;
    } catch (const Error&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  fail(ErrorKind::kIo, "redis-server does not start: it is in Debian's package redis-server");
}

RedisProcess::~RedisProcess() {
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string RedisProcess::url(uint16_t port) const {
  return fmt::format("redis://:{}@127.0.0.1:{}?timeout=60", password_, port);
}

struct ShapedLink::Connection {
  int client = -1, server = -1;
  std::atomic<bool> asked{false};  // since something came back last
  std::thread there, back;
};

ShapedLink::ShapedLink(uint16_t to, double bytes_per_second, double seconds)
    : to_(to), rate_(bytes_per_second), latency_(seconds) {
  listener_ = bound(port_);
  if (::listen(listener_, 16) != 0) fail(ErrorKind::kIo, "cannot listen");
  acceptor_ = std::thread([this] { accept_all(); });
}

ShapedLink::~ShapedLink() {
  ending_ = true;
  acceptor_.join();
  for (const auto& c : connections_) {
    c->there.join();
    c->back.join();
    ::close(c->client);
    ::close(c->server);
  }
  ::close(listener_);
}

void ShapedLink::accept_all() {
  while (!ending_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, kLookMs) <= 0) continue;
    auto c = std::make_unique<Connection>();
    c->client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    c->server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in at = local(to_);
    if (::connect(c->server, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
      ::shutdown(c->client, SHUT_RDWR);
    }
    for (const int fd : {c->client, c->server}) {
      const int on = 1;  // nothing waits for the other side to say that it has got the rest
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    Connection* const made = c.get();
    c->there = std::thread([this, made] { there(*made); });
    c->back = std::thread([this, made] { back(*made); });
    const std::lock_guard lock(mutex_);
    connections_.push_back(std::move(c));
  }
}

void ShapedLink::there(Connection& c) const {
  std::array<char, 1 << 16> room;
  while (!ending_) {
    pollfd waiting{c.client, POLLIN, 0};
    if (::poll(&waiting, 1, kLookMs) <= 0) continue;
    const ssize_t n = ::recv(c.client, room.data(), room.size(), 0);
    if (n <= 0) break;
    c.asked = true;
    send_all(c.server, room.data(), static_cast<size_t>(n));
  }
  ::shutdown(c.server, SHUT_WR);
}

void ShapedLink::back(Connection& c) const {
  std::array<char, 1 << 14> room;
  // When the bytes that were passed on so far may have gone.
  Clock::time_point free = Clock::now();
  while (!ending_) {
    pollfd waiting{c.server, POLLIN, 0};
    if (::poll(&waiting, 1, kLookMs) <= 0) continue;
    const ssize_t n = ::recv(c.server, room.data(), room.size(), 0);
    if (n <= 0) break;
    const Clock::time_point now = Clock::now();
    free = std::max(free, now);
    if (c.asked.exchange(false)) {
      free += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(latency_));
    }
    free += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(static_cast<double>(n) / rate_));
    // Sleeping is not exact: only for what is worth it, so that the mean is right.
    if (free - now > std::chrono::microseconds(200)) std::this_thread::sleep_until(free);
    send_all(c.client, room.data(), static_cast<size_t>(n));
  }
  ::shutdown(c.client, SHUT_WR);
}

}  // namespace pith::bench
