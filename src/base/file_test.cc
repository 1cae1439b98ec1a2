#include "pith/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <optional>

#include "testing_child.h"

namespace pith {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    std::string name = (fs::temp_directory_path() / "pith-base-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~FileTest() override {
    std::error_code error;
    fs::remove_all(folder_, error);
  }

  fs::path at(const fs::path& name) const { return folder_ / name; }
  void put(const fs::path& name, std::string_view text) const { std::ofstream(at(name)) << text; }
  std::string get(const fs::path& name) const {
    const Bytes bytes = read_file(at(name));
    return {bytes.begin(), bytes.end()};
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }

  fs::path folder_;
};

using MappedFileTest = FileTest;
using ReadFileTest = FileTest;
using AtomicFileTest = FileTest;

// What an action that must fail says. Anything but pith::Error goes on to fail the test.
std::string io_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo) << e.what();
    return e.what();
  }
  return "no error";
}

// For users with every permission there are no unreadable files, so the child becomes another.
bool become_nobody() { return ::geteuid() != 0 || ::setuid(65534) == 0; }

TEST_F(MappedFileTest, ShowsTheWholeFile) {
  std::string text(300000, 'x');
  text.front() = 'a';
  text.back() = 'z';
  put("f", text);
  const MappedFile file(at("f"));
  EXPECT_EQ(file.path(), at("f"));
  EXPECT_EQ(std::string(file.bytes().begin(), file.bytes().end()), text);
  // Hints only: the bytes stay readable, also next to a range that begins and ends within pages.
  file.read_ahead();
  file.release(1, 299998);
  file.release(0, 300000);
  file.release(100, 0);
  EXPECT_EQ(std::string(file.bytes().begin(), file.bytes().end()), text);
}

TEST_F(MappedFileTest, OutlivesTheName) {
  put("f", "content");
  const MappedFile file(at("f"));
  fs::remove(at("f"));
  EXPECT_EQ(std::string(file.bytes().begin(), file.bytes().end()), "content");
}

TEST_F(MappedFileTest, EmptyFileIsEmptyBytes) {
  put("f", "");
  const MappedFile file(at("f"));
  EXPECT_TRUE(file.bytes().empty());
  file.read_ahead();
  file.release(0, 0);
}

TEST_F(MappedFileTest, RefusesWhatIsNoReadableFile) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const auto error = [&](const fs::path& path) {
    return io_error_of([&] { MappedFile file(path); });
  };
  EXPECT_EQ(error(at("absent")),
            at("absent").string() + ": cannot open: No such file or directory");
  EXPECT_EQ(error(folder_), folder_.string() + ": is a directory");
  EXPECT_EQ(error("/dev/null"), "/dev/null: is not a regular file");
  // Opening a pipe the usual way would wait here for ever.
  EXPECT_EQ(error(at("pipe")), at("pipe").string() + ": is not a regular file");
}

TEST_F(MappedFileTest, RefusesWithoutPermission) {
  put("secret", "content");
  ASSERT_EQ(::chmod(at("secret").c_str(), 0000), 0);
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  EXPECT_EQ(in_child([&] {
              if (!become_nobody()) return 2;
              const std::string text = io_error_of([&] { MappedFile file(at("secret")); });
              return text == at("secret").string() + ": cannot open: Permission denied" ? 0 : 1;
            }),
            0);
}

TEST_F(ReadFileTest, ReadsUpToTheLimitAndNoMore) {
  put("f", "four");
  const Bytes four = {'f', 'o', 'u', 'r'};
  EXPECT_EQ(read_file(at("f"), 4), four);
  try {
    read_file(at("f"), 3);
    ADD_FAILURE() << "read";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kLimit);
    EXPECT_EQ(e.what(), at("f").string() + ": 4 bytes, at most 3 are read here");
  }
  put("empty", "");
  EXPECT_TRUE(read_file(at("empty"), 0).empty());
  EXPECT_EQ(io_error_of([&] { read_file(folder_); }), folder_.string() + ": is a directory");
}

TEST_F(AtomicFileTest, AppearsWholeAtCommit) {
  AtomicFile file(at("f"), false);
  file.write(as_bytes("0123"));
  file.write({});
  file.write(as_bytes("4567"));
  EXPECT_EQ(file.size(), 8u);
  file.write_at(2, as_bytes("xyz"));
  EXPECT_EQ(file.size(), 8u);
  EXPECT_FALSE(fs::exists(at("f")));
  EXPECT_EQ(entries(), 1u) << "it is written in the same folder, so that a rename is enough";
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_TRUE(entry.path().filename().string().starts_with(".f.")) << entry.path();
  }
  file.commit();
  EXPECT_EQ(get("f"), "01xyz567");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFileTest, IsClosedAfterCommit) {
  AtomicFile file(at("f"), false);
  file.write(as_bytes("text"));
  file.commit();
  EXPECT_NE(io_error_of([&] { file.write(as_bytes("more")); }), "no error");
  EXPECT_NE(io_error_of([&] { file.commit(); }), "no error");
  EXPECT_EQ(get("f"), "text");
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  put("f", "old");
  {
    AtomicFile fresh(at("g"), false);
    fresh.write(as_bytes("half"));
    AtomicFile over(at("f"), true);
    over.write(as_bytes("half"));
  }
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(get("f"), "old");
}

TEST_F(AtomicFileTest, OverwritesOnlyWhenAsked) {
  put("f", "old");
  EXPECT_EQ(io_error_of([&] { AtomicFile file(at("f"), false); }),
            at("f").string() + ": exists already (overwriting must be asked for, --force)");
  EXPECT_EQ(get("f"), "old");
  AtomicFile file(at("f"), true);
  file.write(as_bytes("new"));
  EXPECT_EQ(get("f"), "old");
  file.commit();
  EXPECT_EQ(get("f"), "new");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFileTest, SecondOfTwoWritersFails) {
  {
    AtomicFile first(at("f"), false), second(at("f"), false);
    second.write(as_bytes("second"));
    first.write(as_bytes("first"));
    first.commit();
    EXPECT_EQ(io_error_of([&] { second.commit(); }),
              at("f").string() + ": cannot finish, another writer was first: File exists");
  }
  EXPECT_EQ(get("f"), "first");
  EXPECT_EQ(entries(), 1u);
}

// As on NFS: renaming fails with EINVAL when it is asked not to replace.
bool forbid_rename_flags() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[4])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(AtomicFileTest, CommitsWhereRenameHasNoFlags) {
  constexpr int kNoFilters = 77;
  const int result = in_child([&] {
    if (!forbid_rename_flags()) return kNoFilters;
    AtomicFile first(at("f"), false), second(at("f"), false);
    first.write(as_bytes("first"));
    first.commit();
    return io_error_of([&] { second.commit(); }).ends_with("File exists") ? 0 : 1;
  });
  if (result == kNoFilters) GTEST_SKIP() << "the system does not let processes filter calls";
  EXPECT_EQ(result, 0);
  EXPECT_EQ(get("f"), "first");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFileTest, TakesEveryNameThatTheFileSystemTakes) {
  const std::string longest(255, 'n');
  AtomicFile file(at(longest), false);
  file.write(as_bytes("text"));
  file.commit();
  EXPECT_EQ(get(longest), "text");
  EXPECT_EQ(io_error_of([&] { AtomicFile over(at(longest + "n"), false); }),
            at(longest + "n").string() + ": cannot create: File name too long");
}

TEST_F(AtomicFileTest, RefusesWhatItMustNotReplace) {
  fs::create_directory(at("folder"));
  fs::create_symlink("nowhere", at("dangling"));
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const auto error = [&](const fs::path& path, bool overwrite) {
    return io_error_of([&] { AtomicFile(path, overwrite).commit(); });
  };
  EXPECT_EQ(error(at("folder"), true), at("folder").string() + ": is a directory");
  EXPECT_NE(error(at("folder"), false), "no error");
  // A rename would succeed and destroy it.
  EXPECT_EQ(error(at("pipe"), true), at("pipe").string() + ": is not a regular file");
  EXPECT_NE(error(at("pipe"), false), "no error");
  EXPECT_NE(error(at("dangling"), false).find("exists already"), std::string::npos);
  EXPECT_TRUE(fs::is_fifo(at("pipe")));
  EXPECT_TRUE(fs::is_symlink(at("dangling")));
  EXPECT_EQ(entries(), 3u);
}

TEST_F(AtomicFileTest, RefusesFoldersThatCannotHoldIt) {
  put("file", "");
  fs::create_symlink("loop", at("loop"));
  const auto error = [&](const fs::path& path) {
    return io_error_of([&] { AtomicFile file(path, false); });
  };
  EXPECT_EQ(error(at("absent/f")),
            at("absent/f").string() + ": cannot create: No such file or directory");
  EXPECT_EQ(error(at("file/f")), at("file/f").string() + ": cannot create: Not a directory");
  EXPECT_EQ(error(at("loop/f")),
            at("loop/f").string() + ": cannot create: Too many levels of symbolic links");
}

TEST_F(AtomicFileTest, RefusesWithoutPermission) {
  for (const auto& [name, mode] : {std::pair("read-only", 0555), std::pair("closed", 0000)}) {
    fs::create_directory(at(name));
    ASSERT_EQ(::chmod(at(name).c_str(), static_cast<mode_t>(mode)), 0);
  }
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  for (const char* name : {"read-only/f", "closed/f"}) {
    EXPECT_EQ(in_child([&] {
                if (!become_nobody()) return 2;
                const std::string text = io_error_of([&] { AtomicFile file(at(name), false); });
                return text == at(name).string() + ": cannot create: Permission denied" ? 0 : 1;
              }),
              0)
        << name;
  }
}

TEST_F(AtomicFileTest, FullDiskIsAnErrorAndLeavesNothing) {
  const int result = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    AtomicFile file(at("f"), false);
    file.write(Bytes(900));
    const std::string text = io_error_of([&] { file.write(Bytes(900)); });
    return text == at("f").string() + ": cannot write: File too large" ? 0 : 1;
  });
  EXPECT_EQ(result, 0);
  EXPECT_FALSE(fs::exists(at("f")));
}

}  // namespace
}  // namespace pith
