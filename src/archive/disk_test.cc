// The world outside: trees of files, full disks, forbidden folders, rivals, sudden death.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "../base/testing_child.h"
#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;

size_t entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

std::vector<Input> expand(const fs::path& path) { return expand_inputs({&path, 1}); }

TEST(Disk, TreeThereAndBack) {
  TempDir dir;
  write_whole(dir / "model/weights.bin", weights(3000000, 1));
  write_whole(dir / "model/sub/deep/notes.txt", as_bytes("notes"));
  write_whole(dir / "model/sub/empty.txt", {});
  fs::create_directories(dir / "model/hollow");
  ::chmod((dir / "model/sub/deep/notes.txt").c_str(), 0750);
  fs::create_symlink("weights.bin", dir / "model/link.bin");
  fs::create_directory_symlink("sub", dir / "model/folder-link");
  const fs::path given = (dir / "model").string() + "/";
  write_archive(expand(given), dir / "m.pith", {});
  const Archive a = Archive::open(dir / "m.pith");
  a.extract_all(dir / "out", {.threads = 2});
  for (const char* name : {"model/weights.bin", "model/sub/deep/notes.txt", "model/sub/empty.txt",
                           "model/link.bin", "model/folder-link/deep/notes.txt"}) {
    EXPECT_EQ(read_file(dir / "out" / name), read_file(dir / name)) << name;
  }
  EXPECT_TRUE(fs::is_directory(dir / "out/model/hollow"));
  EXPECT_FALSE(fs::is_symlink(dir / "out/model/link.bin"));
  EXPECT_NE(fs::status(dir / "out/model/sub/deep/notes.txt").permissions() & fs::perms::owner_exec,
            fs::perms::none);
  // Paths are sorted by their bytes; the order on disk does not matter.
  EXPECT_TRUE(std::ranges::is_sorted(a.files(), {}, &FileInfo::path));
  EXPECT_EQ(error_of([&] { a.extract_all(dir / "out"); }).kind(), ErrorKind::kIo) << "exists";
  a.extract_all(dir / "out", {.overwrite = true});
}

TEST(Disk, OddInputsAreRefused) {
  TempDir dir;
  fs::create_directories(dir / "loop/in");
  fs::create_directory_symlink("..", dir / "loop/in/out");
  EXPECT_NE(std::string(error_of([&] { expand(dir / "loop"); }).what()).find("circle"),
            std::string::npos);
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { expand(dir / "pipe"); }).kind(), ErrorKind::kIo);
  EXPECT_EQ(error_of([&] { expand(dir / "absent"); }).kind(), ErrorKind::kIo);
  fs::create_symlink("nowhere", dir / "dangling");
  EXPECT_EQ(error_of([&] { expand(dir / "dangling"); }).kind(), ErrorKind::kIo);
  write_whole(dir / "a/x", as_bytes("1"));
  write_whole(dir / "b/x", as_bytes("2"));
  const fs::path both[] = {dir / "a/x", dir / "b/x"};
  EXPECT_EQ(error_of([&] { expand_inputs(both); }).kind(), ErrorKind::kUsage);
  const fs::path twice[] = {dir / "a/x", dir / "a/x"};
  EXPECT_EQ(expand_inputs(twice).size(), 1u);
  EXPECT_EQ(error_of([&] { write_archive({}, dir / "n.pith", {}); }).kind(), ErrorKind::kUsage);
}

TEST(Disk, ExtractionStaysInItsFolder) {
  TempDir dir;
  write_whole(dir / "t/sub/file", as_bytes("content"));
  write_archive(expand(dir / "t"), dir / "t.pith", {});
  const Archive a = Archive::open(dir / "t.pith");
  fs::create_directories(dir / "elsewhere");
  fs::create_directories(dir / "out/t");
  fs::create_directory_symlink(dir / "elsewhere", dir / "out/t/sub");
  EXPECT_EQ(error_of([&] { a.extract_all(dir / "out"); }).kind(), ErrorKind::kIo);
  EXPECT_EQ(entries(dir / "elsewhere"), 0u);
  fs::remove(dir / "out/t/sub");
  fs::create_directories(dir / "out/t/sub");
  write_whole(dir / "elsewhere/victim", as_bytes("mine"));
  fs::create_symlink(dir / "elsewhere/victim", dir / "out/t/sub/file");
  EXPECT_EQ(error_of([&] { a.extract_all(dir / "out", {.overwrite = true}); }).kind(),
            ErrorKind::kIo);
  EXPECT_EQ(read_file(dir / "elsewhere/victim").size(), 4u);
}

TEST(Disk, ChangedWhileRead) {
  TempDir dir;
  write_whole(dir / "f", weights(6000000, 1));
  const auto inputs = expand(dir / "f");
  bool changed = false;
  const WriteOptions options{
      .threads = 1, .progress = [&](uint64_t, uint64_t) {
        if (!changed)
          fs::last_write_time(dir / "f", fs::file_time_type::clock::now() + std::chrono::hours(1));
        changed = true;
        return true;
      }};
  const Error e = error_of([&] { write_archive(inputs, dir / "f.pith", options); });
  EXPECT_NE(std::string(e.what()).find("changed"), std::string::npos) << e.what();
  EXPECT_FALSE(fs::exists(dir / "f.pith"));
}

TEST(Disk, InterruptedLeavesNothing) {
  TempDir dir;
  write_whole(dir / "in/f", noise(9000000, 1));
  fs::create_directory(dir / "out");
  const WriteOptions stop{.threads = 2,
                          .progress = [](uint64_t done, uint64_t) { return done < 1; }};
  EXPECT_EQ(error_of([&] { write_archive(expand(dir / "in"), dir / "out/f.pith", stop); }).kind(),
            ErrorKind::kIo);
  EXPECT_EQ(entries(dir / "out"), 0u);
  write_archive(expand(dir / "in"), dir / "f.pith", {});
  const ExtractOptions halt{.progress = [](uint64_t done, uint64_t) { return done < 1; }};
  const Archive a = Archive::open(dir / "f.pith");
  EXPECT_THROW(a.extract_file(a.find_file("in/f"), dir / "out/f", halt), Error);
  EXPECT_EQ(entries(dir / "out"), 0u);
}

TEST(Disk, TwoWritersOnlyOneWins) {
  TempDir dir;
  write_whole(dir / "f", weights(1000000, 1));
  const auto inputs = expand(dir / "f");
  const WriteOptions options{.progress = [&](uint64_t, uint64_t) {
    if (!fs::exists(dir / "f.pith")) write_whole(dir / "f.pith", as_bytes("first"));
    return true;
  }};
  EXPECT_EQ(error_of([&] { write_archive(inputs, dir / "f.pith", options); }).kind(),
            ErrorKind::kIo);
  EXPECT_EQ(read_file(dir / "f.pith").size(), 5u);
  EXPECT_EQ(error_of([&] { write_archive(inputs, dir / "f.pith", {}); }).kind(), ErrorKind::kIo);
  write_archive(inputs, dir / "f.pith", {.overwrite = true});
  EXPECT_TRUE(Archive::open(dir / "f.pith").verify().ok());
}

TEST(Disk, FullDiskIsAnErrorAndLeavesNothing) {
  TempDir dir;
  write_whole(dir / "in/f", noise(8000000, 1));
  fs::create_directory(dir / "out");
  const int result = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{3000000, 3000000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_archive(expand(dir / "in"), dir / "out/f.pith", {.threads = 1});
    } catch (const Error& e) {
      return e.kind() == ErrorKind::kIo ? 7 : 1;
    }
    return 0;
  });
  EXPECT_EQ(result, 7);
  EXPECT_EQ(entries(dir / "out"), 0u);
  const auto full = [&] {
    const int fd = ::open("/dev/full", O_WRONLY);
    write_archive(expand(dir / "in"), fd_sink(fd), {.threads = 1});
  };
  EXPECT_EQ(error_of(full).kind(), ErrorKind::kIo);
}

TEST(Disk, ForbiddenFolder) {
  TempDir dir;
  write_whole(dir / "f", weights(100000, 1));
  fs::create_directory(dir / "locked");
  ::chmod((dir / "locked").c_str(), 0555);
  ::chmod(dir.path().c_str(), 0755);
  const int result = in_child([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;
    try {
      write_archive(expand(dir / "f"), dir / "locked/f.pith", {.threads = 1});
    } catch (const Error& e) {
      return e.kind() == ErrorKind::kIo ? 7 : 1;
    }
    return 0;
  });
  EXPECT_EQ(result, 7);
}

TEST(Disk, KilledWriterLeavesNothingUnderTheName) {
  TempDir dir;
  write_whole(dir / "in/f", noise(20000000, 1));
  fs::create_directory(dir / "out");
  const int result = in_child([&] {
    const WriteOptions options{.threads = 1, .progress = [](uint64_t done, uint64_t) {
                                 if (done > 8000000) ::raise(SIGKILL);
                                 return true;
                               }};
    write_archive(expand(dir / "in"), dir / "out/f.pith", options);
    return 0;
  });
  EXPECT_EQ(result, 128 + SIGKILL);
  EXPECT_FALSE(fs::exists(dir / "out/f.pith"));
  EXPECT_EQ(entries(dir / "out"), 1u) << "a hidden part";
}

// Bytes of a line of /proc/self/status.
uint64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return std::stoull(line.substr(name.size() + 1)) * 1024;
  }
  return 0;
}

TEST(Disk, LargeFileStreamsInLittleMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need memory of their own";
#endif
  TempDir dir;
  constexpr uint64_t kSize = uint64_t{1} << 30;
  write_whole(dir / "sparse", {});
  fs::resize_file(dir / "sparse", kSize);
  {
    // A number in every chunk, so that none is a mere reference to another.
    std::fstream numbers(dir / "sparse", std::ios::binary | std::ios::in | std::ios::out);
    for (uint64_t at = 5000; at < kSize; at += 1 << 20) {
      numbers.seekp(static_cast<std::streamoff>(at));
      numbers.write(reinterpret_cast<const char*>(&at), sizeof at);
    }
  }
  io::Layout layout;
  layout.tensors.push_back(
      {"w", DType::kBF16, {kSize / 2048 - 1, 1024}, 2048, kSize - 2048, false});
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
  const uint64_t before = status_bytes("VmRSS:");
  const std::vector<Input> inputs = {{"f", mapped_source(dir / "sparse", layout), 0}};
  write_archive(inputs, dir / "f.pith", {.level = lossless::Level::kFast, .threads = 2});
  const Archive a = Archive::open(dir / "f.pith");
  EXPECT_GE(a.files()[0].chunks, kSize >> 20);
  a.extract_file(0, [](ByteView) {}, {.threads = 2});
  EXPECT_LT(status_bytes("VmHWM:") - before, uint64_t{150} << 20);
}

}  // namespace
}  // namespace pith::archive
