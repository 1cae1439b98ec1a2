#include "pith/weights/journal.h"

#include <gtest/gtest.h>

#include <fstream>

#include "../archive/testing.h"
#include "pith/base/error.h"
#include "pith/base/file.h"

namespace pith::weights {
namespace {

namespace fs = std::filesystem;

Hash128 key(uint64_t n) { return KeyMaker().add(n).key(); }

TEST(Journal, FindsWhatWasKeptAndNothingElse) {
  const archive::testing::TempDir folder;
  const fs::path path = folder.path() / "a" / "b.journal";
  Journal journal(path);
  EXPECT_FALSE(journal.find(key(1)));
  EXPECT_FALSE(fs::exists(path));  // nothing is made before there is something to keep
  journal.keep(key(1), Bytes{1, 2, 3});
  journal.keep(key(2), Bytes());
  Journal again(path);
  EXPECT_EQ(again.find(key(1)), (Bytes{1, 2, 3}));
  EXPECT_EQ(again.find(key(2)), Bytes());
  EXPECT_FALSE(again.find(key(3)));
  EXPECT_EQ(again.found(), 2u);
  again.keep(key(1), Bytes{4});
  EXPECT_EQ(again.find(key(1)), Bytes{4});
}

TEST(Journal, DamagedResultsAreNone) {
  const archive::testing::TempDir folder;
  Journal journal(folder.path() / "j");
  const Bytes result(100, 7);
  journal.keep(key(1), result);
  const fs::path file = journal.file(key(1));
  const Bytes good = read_file(file);
  for (const size_t at : {size_t{0}, size_t{50}, good.size() - 1}) {
    Bytes bad = good;
    bad[at] ^= 1;
    std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(bad.data()), 108);
    EXPECT_FALSE(journal.find(key(1))) << at;
  }
  for (const size_t size : {size_t{0}, size_t{7}, good.size() - 1}) {
    fs::resize_file(file, size);
    EXPECT_FALSE(journal.find(key(1))) << size;
  }
  journal.keep(key(1), result);
  EXPECT_EQ(journal.find(key(1)), result);
}

TEST(Journal, RemovesNoMoreThanItKept) {
  const archive::testing::TempDir folder;
  const Journal none(folder.path() / "none");
  none.remove();
  Journal journal(folder.path() / "j");
  journal.keep(key(1), Bytes{1});
  std::ofstream(folder.path() / "j" / "notes.txt") << "mine";
  journal.remove();
  EXPECT_FALSE(journal.find(key(1)));
  EXPECT_TRUE(fs::exists(folder.path() / "j" / "notes.txt"));
  fs::remove(folder.path() / "j" / "notes.txt");
  journal.remove();
  EXPECT_FALSE(fs::exists(folder.path() / "j"));
}

TEST(Journal, OffFindsNothingAndKeepsNothing) {
  Journal journal{fs::path()};
  journal.keep(key(1), Bytes{1});
  EXPECT_FALSE(journal.find(key(1)));
  journal.remove();
}

TEST(KeyMaker, TellsNeighboursApart) {
  EXPECT_NE(KeyMaker().add("ab").add("c").key(), KeyMaker().add("a").add("bc").key());
  EXPECT_NE(KeyMaker().add("").key(), KeyMaker().key());
  EXPECT_NE(KeyMaker().add(1.0).key(), KeyMaker().add(2.0).key());
  EXPECT_EQ(KeyMaker().add("a").add(uint64_t{3}).key(), KeyMaker().add("a").add(uint64_t{3}).key());
}

}  // namespace
}  // namespace pith::weights
