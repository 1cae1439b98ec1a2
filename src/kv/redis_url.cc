#include "redis_url.h"

#include <charconv>

#include "pith/base/error.h"

namespace pith::kv {
namespace {

// What is before `mark` goes from `text`, and the mark; all of it where there is none.
std::string_view cut(std::string_view& text, char mark) {
  const size_t at = text.find(mark);
  const std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return head;
}

template <class T>
T number(std::string_view text, std::string_view what, T least, T most) {
  T value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || !(value >= least) ||
      !(value <= most)) {
    fail(ErrorKind::kUsage, "redis://…: {} '{}' is no number from {} to {}", what, text, least,
         most);
  }
  return value;
}

// %40 for @
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    uint8_t byte = 0;
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const char* at = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(at, at + 2, byte, 16).ptr != at + 2) {
      fail(ErrorKind::kUsage, "redis://…: in user or password, %XX stands for a byte");
    }
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

void parse_options(std::string_view text, RedisUrl& url) {
  while (!text.empty()) {
    std::string_view value = cut(text, '&');
    const std::string_view key = cut(value, '=');
    if (key == "ttl") {
      url.ttl = number<uint64_t>(value, key, 1, uint64_t{1} << 40);
    } else if (key == "timeout") {
      url.timeout = number<double>(value, key, 0.001, 86400);
    } else {
      fail(ErrorKind::kUsage, "redis://…: there is no option '{}' (ttl, timeout)", key);
    }
  }
}

void parse_host(std::string_view text, RedisUrl& url) {
  const bool bracket = text.starts_with('[');  // IPv6
  if (bracket) text.remove_prefix(1);
  url.host = cut(text, bracket ? ']' : ':');
  if (bracket && text.starts_with(':')) text.remove_prefix(1);
  if (!text.empty()) url.port = number<uint16_t>(text, "port", 1, 65535);
  if (url.host.empty()) fail(ErrorKind::kUsage, "redis://…: there is no host");
}

}  // namespace

std::string RedisUrl::name() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("redis://{}{}{}:{}/{}", v6 ? "[" : "", host, v6 ? "]" : "", port, db);
}

RedisUrl parse_redis_url(std::string_view text) {
  RedisUrl url;
  text.remove_prefix(std::string_view("redis://").size());
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    std::string_view password = text.substr(0, at);
    url.user = decoded(cut(password, ':'));
    url.password = decoded(password);
    text.remove_prefix(at + 1);
  }
  std::string_view path = cut(text, '?');
  parse_options(text, url);
  parse_host(cut(path, '/'), url);
  if (!path.empty()) url.db = number<uint64_t>(path, "database", 0, 1 << 20);
  return url;
}

}  // namespace pith::kv
