#include "testing_redis.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "pith/base/error.h"
#include "redis_connection.h"

namespace pith::kv::testing {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

}  // namespace

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  const bool done = ::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0 &&
                    ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0;
  ::close(fd);
  if (!done) fail(ErrorKind::kIo, "there is no free port");
  return ntohs(at.sin_port);
}

RedisServer::RedisServer(std::vector<std::string> options, uint16_t port) : port_(port) {
  std::random_device random;
  folder_ = std::filesystem::temp_directory_path() / fmt::format("pith-redis-{:08x}", random());
  std::filesystem::create_directory(folder_);
  password_ = fmt::format("secret-{:08x}", random());
  // Somebody may take a port between the look and the start.
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (port == 0) port_ = free_port();
    if (start(options)) return;
    stop();
  }
  const std::string said = log();
  std::filesystem::remove_all(folder_);
  fail(ErrorKind::kIo, "redis-server does not start (it is in Debian's package redis-server): {}",
       said);
}

RedisServer::~RedisServer() {
  stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

bool RedisServer::start(const std::vector<std::string>& options) {
  std::vector<std::string> words = {"redis-server", "--port",        std::to_string(port_),
                                    "--bind",       "127.0.0.1",     "--requirepass",
                                    password_,      "--save",        "",
                                    "--dir",        folder_.string()};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = folder_ / "log";
  child_ = ::fork();
  if (child_ == 0) {
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    int status = 0;
    if (::waitpid(child_, &status, WNOHANG) == child_) {
      child_ = -1;
      return false;
    }
    try {
      RedisConnection(parse_redis_url(url())).run({"PING"});
      return true;
    } catch (const Error&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return false;
}

void RedisServer::stop() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  child_ = -1;
}

std::string RedisServer::url(const std::string& rest, uint16_t port) const {
  return fmt::format("redis://:{}@127.0.0.1:{}{}", password_, port == 0 ? port_ : port, rest);
}

std::string RedisServer::log() const {
  std::ifstream file(folder_ / "log");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace pith::kv::testing
