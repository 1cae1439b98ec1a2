#include "testing_link.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "pith/base/error.h"

namespace pith::kv::testing {
namespace {

constexpr int kLookMs = 20;     // between two looks at whether to end
constexpr double kStep = 1e-3;  // for so long the trace counts as even

sockaddr_in local(uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

// A socket that listens on a free port, which is `port` then.
int listening(uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = local(0);
  socklen_t size = sizeof at;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0 || ::listen(fd, 16) != 0) {
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

std::chrono::steady_clock::duration duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

struct ShapedLink::Connection {
  int client = -1, server = -1;
  std::atomic<bool> asked{false};  // since something came back last
  std::thread there, back;
};

ShapedLink::ShapedLink(uint16_t to, Trace trace, double latency)
    : to_(to), trace_(std::move(trace)), latency_(latency) {
  begin();
  listener_ = listening(port_);
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

// When so many bytes have gone that begin at `from`.
ShapedLink::Clock::time_point ShapedLink::passed(Clock::time_point from, double bytes) const {
  const Clock::time_point begin{Clock::duration(begin_)};
  while (!ending_) {
    const double rate = trace_(std::chrono::duration<double>(from - begin).count());
    if (bytes <= rate * kStep) return from + duration(bytes / std::max(rate, 1.0));
    bytes -= rate * kStep;
    from += duration(kStep);
    // Sleeping is not exact: only for what is worth it, so that the mean is right.
    if (from - Clock::now() > duration(kStep)) std::this_thread::sleep_until(from);
  }
  return from;
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
    free = std::max(free, Clock::now());
    if (c.asked.exchange(false)) free += duration(latency_);
    free = passed(free, static_cast<double>(n));
    if (free - Clock::now() > std::chrono::microseconds(200)) std::this_thread::sleep_until(free);
    send_all(c.client, room.data(), static_cast<size_t>(n));
  }
  ::shutdown(c.client, SHUT_WR);
}

}  // namespace pith::kv::testing
