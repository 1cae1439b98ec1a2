// Folders and archives of chunks; Redis has a test of its own.
#include "pith/kv/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "stores.h"
#include "testing_chunks.h"

namespace pith::kv {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class StoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / fmt::format("pith-store-{}", ::getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string where() const { return (folder_ / GetParam()).string(); }
  std::unique_ptr<Store> store() const { return open_store(where()); }

  static Bytes chunk(uint64_t n) { return some_chunk(some_ids(n)); }
  static Hash128 id(uint64_t n) { return chain(some_maker(), some_ids(n), n)[0]; }

  fs::path folder_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, StoreTest, ::testing::Values("chunks", "chunks.pith"));

TEST_P(StoreTest, GivesBackWhatWasPut) {
  const auto a = store();
  EXPECT_EQ(a->get(id(3)), std::nullopt);
  EXPECT_THROW(a->list(), Error);
  a->put(id(3), chunk(3));
  a->put(id(9), chunk(9));
  a->put(id(3), chunk(3));
  EXPECT_EQ(a->get(id(3)), chunk(3));
  a->flush();
  a->flush();
  for (const auto& b : {store(), store()}) {
    EXPECT_EQ(b->get(id(3)), chunk(3));
    EXPECT_EQ(b->get(id(9)), chunk(9));
    EXPECT_EQ(b->get(id(4)), std::nullopt);
    const std::vector<Hash128> ids = {id(9), id(4), id(3)};
    EXPECT_EQ(b->sizes(ids), (std::vector<std::optional<uint64_t>>{chunk(9).size(), std::nullopt,
                                                                   chunk(3).size()}));
    const auto list = b->list();
    ASSERT_EQ(list.size(), 2);
    EXPECT_LT(list[0].id, list[1].id);
    EXPECT_EQ(list[0].bytes + list[1].bytes, chunk(3).size() + chunk(9).size());
  }
  const auto c = store();
  c->put(id(3), chunk(5));  // replaced
  c->flush();
  EXPECT_EQ(store()->get(id(3)), chunk(5));
  EXPECT_EQ(store()->list().size(), 2);
}

TEST_P(StoreTest, TwoProcessesMayWriteTheSame) {
  const auto writer = [&](uint64_t own) {
    return [&, own] {
      for (int round = 0; round < 4; ++round) {
        const auto s = store();
        s->put(id(7), chunk(7));
        s->put(id(own), chunk(own));
        s->flush();
      }
      return 0;
    };
  };
  const pid_t other = ::fork();
  if (other == 0) ::_exit(writer(4)());
  writer(5)();
  int status = 0;
  ::waitpid(other, &status, 0);
  EXPECT_EQ(status, 0);
  const auto s = store();
  for (const uint64_t n : {4U, 5U, 7U}) EXPECT_EQ(s->get(id(n)), chunk(n)) << n;
  EXPECT_EQ(s->list().size(), 3);
}

// Ended in the middle of writing, again and again: what was put before is there.
TEST_P(StoreTest, AnInterruptedWriteLosesNothing) {
  // In a process of its own: threads that write archives do not survive a fork.
  if (const pid_t first = ::fork(); first == 0) {
    const auto s = store();
    s->put(id(3), chunk(3));
    s->flush();
    ::_exit(0);
  } else {
    ::waitpid(first, nullptr, 0);
  }
  for (int round = 0; round < 8; ++round) {
    const pid_t writer = ::fork();
    if (writer == 0) {
      const auto s = store();
      while (true) {
        s->put(id(200), chunk(200));
        s->flush();
      }
    }
    ::usleep(static_cast<useconds_t>(500 + 1700 * round));
    ::kill(writer, SIGKILL);
    ::waitpid(writer, nullptr, 0);
    const auto s = store();
    EXPECT_EQ(s->get(id(3)), chunk(3));
    EXPECT_EQ(s->get(id(200)).value_or(chunk(200)), chunk(200));
  }
}

TEST(Stores, FilesOfOthersAreLeftAlone) {
  const fs::path folder = fs::path(::testing::TempDir()) / "pith-store-others";
  fs::create_directories(folder);
  std::ofstream(folder / "notes.txt") << "mine";
  std::ofstream(folder / "0123.kv") << "no chunk";
  EXPECT_TRUE(open_store(folder.string())->list().empty());
  EXPECT_TRUE(fs::exists(folder / "notes.txt"));
  fs::remove_all(folder);
}

TEST(Stores, RefusesWhatIsNone) {
  const auto kind = [](const std::string& where) {
    try {
      open_store(where);
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find("secret"), std::string::npos) << e.what();
      return e.kind();
    }
    return ErrorKind::kBase;
  };
  for (const char* bad :
       {"", "http://localhost", "redis://", "redis://:secret@", "redis://h:0", "redis://h:65536",
        "redis://h:p", "redis://h/x", "redis://h/1?ttl=0", "redis://h?ttl=x", "redis://h?tll=5",
        "redis://h?timeout=-1", "redis://h?timeout=nan", "redis://:secret%4@h"}) {
    EXPECT_EQ(kind(bad), ErrorKind::kUsage) << bad;
  }
  const fs::path file = fs::path(::testing::TempDir()) / "pith-no-archive.pith";
  std::ofstream(file) << "no archive";
  EXPECT_EQ(kind(file.string()), ErrorKind::kData);
  fs::remove(file);
  EXPECT_EQ(open_store("redis://user:secret@[::1]:7000/3?ttl=5&timeout=0.5")->name(),
            "redis://[::1]:7000/3");
  EXPECT_EQ(open_store("redis://h")->name(), "redis://h:6379/0");
}

// They may be recovered: nothing is believed, nothing written over.
TEST(Stores, DamagedArchivesAreLeftAsTheyAre) {
  const fs::path file =
      fs::path(::testing::TempDir()) / fmt::format("pith-damaged-{}.pith", ::getpid());
  const Hash128 id = chain(some_maker(), some_ids(40), 40)[0], other = chain_root(some_maker());
  const Bytes chunk = some_chunk(some_ids(40));
  const auto fill = open_store(file.string());
  fill->put(id, chunk);
  fill->flush();
  const Bytes whole = read_file(file);
  const auto refuses = [](const auto& work) {
    try {
      work();
    } catch (const Error& e) {
      return e.kind() == ErrorKind::kIo &&
             std::string_view(e.what()).find("left as it is") != std::string_view::npos;
    }
    return false;
  };
  for (const size_t size : {size_t{8}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    write_file(file, part, true);
    const auto s = open_store(file.string());
    EXPECT_TRUE(refuses([&] { s->reach(); })) << size;
    EXPECT_TRUE(refuses([&] { s->sizes(std::span(&id, 1)); })) << size;
    EXPECT_TRUE(refuses([&] { s->get(id); })) << size;
    EXPECT_TRUE(refuses([&] { s->put(other, chunk); })) << size;
    EXPECT_TRUE(refuses([&] { s->list(); })) << size;
    s->flush();
    EXPECT_EQ(read_file(file), part) << size;
    write_file(file, whole, true);  // and back
    EXPECT_EQ(s->get(id), chunk);
  }
  // Damaged after something was put that waits.
  const auto s = open_store(file.string());
  s->put(other, chunk);
  const Bytes part(whole.begin(), whole.end() - 1);
  write_file(file, part, true);
  EXPECT_THROW(s->flush(), Error);
  EXPECT_EQ(read_file(file), part);
  fs::remove(file);
}

TEST(Stores, NamesOfFilesAreIds) {
  const Hash128 some = chain_root(some_maker());
  EXPECT_EQ(chunk_of_file(chunk_file(some)), some);
  for (const char* bad :
       {"", ".kv", "0123.kv", "zz23456789abcdef0123456789abcdef.kv",
        "+123456789abcdef0123456789abcdef.kv", "0123456789abcdef0123456789abcdef"}) {
    EXPECT_EQ(chunk_of_file(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace pith::kv
