// Chunks in a Redis server, which the tests start and end.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "pith/base/error.h"
#include "pith/kv/store.h"
#include "redis_connection.h"
#include "testing_chunks.h"
#include "testing_redis.h"

namespace pith::kv {
namespace {

using namespace testing;

Bytes chunk(uint64_t n) { return some_chunk(some_ids(n)); }
Hash128 id(uint64_t n) { return chain(some_maker(), some_ids(n), n)[0]; }

std::string failure(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo) << e.what();
    EXPECT_EQ(std::string(e.what()).find("secret-"), std::string::npos) << e.what();
    return e.what();
  }
  return "";
}

TEST(RedisStore, GivesBackWhatWasPut) {
  const RedisServer server;
  const auto a = open_store(server.url()), b = open_store(server.url("/2"));
  EXPECT_EQ(a->get(id(3)), std::nullopt);
  EXPECT_TRUE(a->list().empty());
  for (const uint64_t n : {3U, 2000U}) a->put(id(n), chunk(n));
  const std::vector<Hash128> ids = {id(3), id(4), id(2000)};
  const auto sizes = a->sizes(ids);
  EXPECT_EQ(sizes, (std::vector<std::optional<uint64_t>>{chunk(3).size(), std::nullopt,
                                                         chunk(2000).size()}));
  const Bytes whole = chunk(2000);
  uint64_t last = 0, calls = 0;
  const auto arrived = [&](ByteView so_far) {
    EXPECT_GT(so_far.size(), last);
    EXPECT_TRUE(std::ranges::equal(so_far, ByteView(whole).first(so_far.size())));
    last = so_far.size();
    ++calls;
  };
  EXPECT_EQ(a->get(id(2000), arrived), chunk(2000));
  EXPECT_EQ(last, chunk(2000).size());
  EXPECT_GT(calls, 2);
  EXPECT_EQ(a->list().size(), 2);
  EXPECT_TRUE(b->list().empty());  // another database
}

TEST(RedisStore, ChunksGoWhenTheirTimeIsOver) {
  const RedisServer server;
  open_store(server.url("?ttl=7"))->put(id(3), chunk(3));
  open_store(server.url())->put(id(4), chunk(4));
  RedisConnection raw(parse_redis_url(server.url()));
  const auto ttl = [&](uint64_t n) { return raw.run({"TTL", "pith:kv:" + id(n).hex()})->integer; };
  EXPECT_GT(ttl(3), 0);
  EXPECT_LE(ttl(3), 7);
  EXPECT_EQ(ttl(4), -1);
}

TEST(RedisStore, SaysWhyItCannot) {
  RedisServer server;
  EXPECT_NE(failure([&] {
              open_store(fmt::format("redis://:wrong@127.0.0.1:{}", server.port()))->get(id(3));
            }).find("WRONGPASS"),
            std::string::npos);
  EXPECT_NE(failure([&] {
              open_store(fmt::format("redis://127.0.0.1:{}", server.port()))->get(id(3));
            }).find("NOAUTH"),
            std::string::npos);
  EXPECT_NE(failure([&] { open_store(server.url("/99"))->get(id(3)); }), "");
  const auto store = open_store(server.url());
  server.stop();
  EXPECT_NE(failure([&] { store->get(id(3)); }).find("refused"), std::string::npos);
  EXPECT_NE(failure([&] { store->put(id(3), chunk(3)); }), "");
  EXPECT_NE(failure([&] { store->list(); }), "");
}

TEST(RedisStore, AServerThatComesBackIsFoundAgain) {
  auto server = std::make_unique<RedisServer>();
  const uint16_t port = server->port();
  const auto store = open_store(fmt::format("redis://:again@127.0.0.1:{}", port));
  RedisConnection(parse_redis_url(server->url())).run({"CONFIG", "SET", "requirepass", "again"});
  store->put(id(3), chunk(3));
  server.reset();
  EXPECT_NE(failure([&] { store->get(id(3)); }), "");
  server = std::make_unique<RedisServer>(std::vector<std::string>{}, port);
  RedisConnection(parse_redis_url(server->url())).run({"CONFIG", "SET", "requirepass", "again"});
  EXPECT_EQ(store->get(id(3)), std::nullopt);
  store->put(id(4), chunk(4));
  // A connection that the server has ended is made again at once.
  RedisConnection(parse_redis_url(fmt::format("redis://:again@127.0.0.1:{}", port)))
      .run({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  EXPECT_EQ(store->get(id(4)), chunk(4));
}

TEST(RedisStore, AFullServerSaysSo) {
  const RedisServer server({"--maxmemory", "3mb", "--maxmemory-policy", "noeviction"});
  const auto store = open_store(server.url());
  std::string why;
  for (uint64_t n = 1; why.empty() && n < 100; ++n) {
    why = failure([&] { store->put(id(1000 + n), chunk(1000 + n)); });
  }
  EXPECT_NE(why.find("full"), std::string::npos) << why;
  EXPECT_EQ(store->get(id(1001)), chunk(1001));  // reading goes on
}

TEST(RedisStore, AStoppedServerIsNotWaitedForLong) {
  const RedisServer server;
  const auto store = open_store(server.url("?timeout=0.1"));
  store->put(id(3), chunk(3));
  RedisConnection(parse_redis_url(server.url())).run({"CLIENT", "PAUSE", "3000"});
  EXPECT_NE(failure([&] { store->get(id(3)); }).find("0.1 s"), std::string::npos);
}

TEST(RedisStore, AnotherThreadInterrupts) {
  const RedisServer server;
  const auto store = open_store(server.url());
  store->put(id(3), chunk(3));
  RedisConnection(parse_redis_url(server.url())).run({"CLIENT", "PAUSE", "500"});
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    store->interrupt();
  });
  EXPECT_NE(failure([&] { store->get(id(3)); }).find("interrupted"), std::string::npos);
  other.join();
  EXPECT_NE(failure([&] { store->get(id(3)); }), "");
  const std::vector<Hash128> ids = {id(3)};
  EXPECT_TRUE(store->sizes(ids)[0]);
  EXPECT_EQ(store->get(id(3)), chunk(3));
}

TEST(RedisStore, TwoProcessesMayWriteTheSame) {
  const RedisServer server;
  const auto write = [&] {
    const auto store = open_store(server.url());
    for (int round = 0; round < 50; ++round) store->put(id(500), chunk(500));
  };
  const pid_t other = ::fork();
  if (other == 0) {
    write();
    ::_exit(0);
  }
  write();
  const auto store = open_store(server.url());
  EXPECT_EQ(store->get(id(500)), chunk(500));
  int status = 0;
  ::waitpid(other, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(store->list().size(), 1);
}

}  // namespace
}  // namespace pith::kv
