// Chunks as strings of a Redis server, under pith:kv:ID.
#include <algorithm>
#include <map>

#include "pith/base/error.h"
#include "redis_connection.h"
#include "stores.h"

namespace pith::kv {
namespace {

constexpr std::string_view kPrefix = "pith:kv:";
// Long chunks are asked for in pieces of so many bytes, all at once, so that one can tell how fast
// they come while they do.
constexpr uint64_t kPiece = uint64_t{32} << 10;

std::string key(const Hash128& id) { return std::string(kPrefix) + id.hex(); }

class RedisStore final : public Store {
 public:
  explicit RedisStore(RedisUrl url) : server_(std::move(url)) {}

  std::string name() const override { return server_.url().name(); }

  std::vector<std::optional<uint64_t>> sizes(std::span<const Hash128> ids) override {
    server_.resume();
    std::vector<std::string> keys;
    for (const Hash128& id : ids) keys.push_back(key(id));
    std::vector<RedisCommand> commands;
    for (const std::string& k : keys) commands.push_back({"STRLEN", k});
    std::vector<std::optional<uint64_t>> out(ids.size());
    server_.run(commands, [&](size_t i, Reply reply) {
      expect(*reply, REDIS_REPLY_INTEGER);
      if (reply->integer > 0) out[i] = static_cast<uint64_t>(reply->integer);
    });
    for (size_t i = 0; i < ids.size(); ++i) {
      if (out[i]) known_[ids[i]] = *out[i];
    }
    return out;
  }

  std::optional<Bytes> get(const Hash128& id, const Arrived& arrived) override {
    const auto size = known_.find(id);
    if (arrived && size != known_.end()) return pieces(id, size->second, arrived);
    const Reply reply = server_.run({"GET", key(id)});
    if (reply->type == REDIS_REPLY_NIL) return std::nullopt;
    expect(*reply, REDIS_REPLY_STRING);
    const ByteView bytes = bytes_of(*reply);
    return Bytes(bytes.begin(), bytes.end());
  }

  void put(const Hash128& id, ByteView chunk) override {
    server_.resume();
    const std::string k = key(id), ttl = std::to_string(server_.url().ttl);
    const std::string_view bytes(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    RedisCommand command = {"SET", k, bytes};
    if (server_.url().ttl > 0) command.insert(command.end(), {"EX", ttl});
    server_.run(command);
  }

  std::vector<StoredChunk> list() override {
    server_.resume();
    std::vector<Hash128> ids = scan();
    std::ranges::sort(ids);
    const auto twice = std::ranges::unique(ids);
    ids.erase(twice.begin(), twice.end());
    const auto bytes = sizes(ids);
    std::vector<StoredChunk> out;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (bytes[i]) out.push_back({ids[i], *bytes[i]});
    }
    return out;
  }

  void interrupt() override { server_.interrupt(); }

 private:
  void expect(const redisReply& reply, int type) const {
    if (reply.type == type) return;
    if (reply.type == REDIS_REPLY_ERROR) {
      fail(ErrorKind::kIo, "{}: {}", name(), std::string_view(reply.str, reply.len));
    }
    fail(ErrorKind::kIo, "{}: an answer of another kind than asked for", name());
  }

  // Of a chunk that had so many bytes; what it has lost or gained since, its checksum tells.
  std::optional<Bytes> pieces(const Hash128& id, uint64_t size, const Arrived& arrived) {
    const std::string k = key(id);
    std::vector<std::string> ends;
    for (uint64_t at = 0; at < size; at += kPiece) {
      ends.push_back(std::to_string(at));
      ends.push_back(std::to_string(at + kPiece - 1));
    }
    std::vector<RedisCommand> commands;
    for (size_t i = 0; i < ends.size(); i += 2) {
      commands.push_back({"GETRANGE", k, ends[i], ends[i + 1]});
    }
    Bytes out;
    server_.run(commands, [&](size_t, Reply reply) {
      expect(*reply, REDIS_REPLY_STRING);
      const ByteView piece = bytes_of(*reply);
      out.insert(out.end(), piece.begin(), piece.end());
      arrived(out);
    });
    if (out.empty()) return std::nullopt;
    return out;
  }

  std::vector<Hash128> scan() {
    std::vector<Hash128> ids;
    const std::string pattern = std::string(kPrefix) + "*";
    std::string cursor = "0";
    do {
      const Reply reply = server_.run({"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"});
      expect(*reply, REDIS_REPLY_ARRAY);
      if (reply->elements != 2 || reply->element[1]->type != REDIS_REPLY_ARRAY) {
        fail(ErrorKind::kIo, "{}: not the answer to SCAN", name());
      }
      cursor.assign(reply->element[0]->str, reply->element[0]->len);
      const redisReply& keys = *reply->element[1];
      for (size_t i = 0; i < keys.elements; ++i) {
        const std::string_view k(keys.element[i]->str, keys.element[i]->len);
        if (!k.starts_with(kPrefix)) continue;
        if (const auto id = parse_id(k.substr(kPrefix.size()))) ids.push_back(*id);
      }
    } while (cursor != "0");
    return ids;
  }

  RedisConnection server_;
  std::map<Hash128, uint64_t> known_;  // bytes of chunks that sizes() has seen
};

}  // namespace

std::unique_ptr<Store> redis_store(std::string_view url) {
  return std::make_unique<RedisStore>(parse_redis_url(url));
}

}  // namespace pith::kv
