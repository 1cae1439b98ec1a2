#include "pith/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>

namespace pith {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void io_error(const fs::path& path, std::string_view doing) {
  const int code = errno;
  fail(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), doing, std::strerror(code));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void expect_regular(const fs::path& path, const struct stat& status) {
  if (S_ISDIR(status.st_mode)) fail(ErrorKind::kIo, "{}: is a directory", path.string());
  if (!S_ISREG(status.st_mode)) fail(ErrorKind::kIo, "{}: is not a regular file", path.string());
}

uint64_t open_regular(const fs::path& path, Descriptor& d) {
  // Without O_NONBLOCK, opening a pipe waits for somebody to write to it.
  d.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (d.fd < 0) io_error(path, "open");
  struct stat status;
  if (::fstat(d.fd, &status) != 0) io_error(path, "read its size");
  expect_regular(path, status);
  return static_cast<uint64_t>(status.st_size);
}

// The hidden name of a file that is being written. A long name leaves no room for an addition.
std::string part_name(const std::string& name, unsigned number) {
  return fmt::format(".{}.{:08x}.part", name.size() <= 100 ? name : "pith", number);
}

// Of two writers that may not overwrite, the second one must fail, however late it finds out.
bool rename_to_new(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  // NFS and some others do not know that flag, but a second name never replaces a file either.
  if (::link(from.c_str(), to.c_str()) != 0) return false;
  ::unlink(from.c_str());
  return true;
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  Descriptor d{-1};
  const uint64_t size = open_regular(path, d);
  if (size == 0) return;
  void* p = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, d.fd, 0);
  if (p == MAP_FAILED) io_error(path, "map");
  bytes_ = {static_cast<const uint8_t*>(p), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

void MappedFile::read_ahead() const {
  if (!bytes_.empty())
    ::madvise(const_cast<uint8_t*>(bytes_.data()), bytes_.size(), MADV_SEQUENTIAL);
}

void MappedFile::release(uint64_t offset, uint64_t size) const {
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t first = (offset + page - 1) / page * page;
  const uint64_t last = (offset + size) / page * page;
  if (last > first) {
    ::madvise(const_cast<uint8_t*>(bytes_.data()) + first, last - first, MADV_DONTNEED);
  }
}

Bytes read_file(const fs::path& path, uint64_t max_bytes) {
  Descriptor d{-1};
  const uint64_t size = open_regular(path, d);
  if (size > max_bytes) {
    fail(ErrorKind::kLimit, "{}: {} bytes, at most {} are read here", path.string(), size,
         max_bytes);
  }
  Bytes data(size);
  uint64_t at = 0;
  while (at < size) {
    const ssize_t n = ::read(d.fd, data.data() + at, size - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) io_error(path, "read");
    if (n == 0) break;
    at += static_cast<uint64_t>(n);
  }
  data.resize(at);
  return data;
}

AtomicFile::AtomicFile(const fs::path& path, bool overwrite) : path_(path), overwrite_(overwrite) {
  struct stat status;
  if (::lstat(path.c_str(), &status) == 0) {
    if (!overwrite) {
      fail(ErrorKind::kIo, "{}: exists already (overwriting must be asked for, --force)",
           path.string());
    }
    // Renamed over a device or a pipe, the file would take its place.
    if (::stat(path.c_str(), &status) == 0) expect_regular(path, status);
  } else if (errno != ENOENT) {
    io_error(path, "create");
  }
  std::random_device random;
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = path;
    temporary_.replace_filename(part_name(path.filename().string(), random()));
    fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && (errno != EEXIST || attempt > 100)) io_error(path, "create");
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(ByteView data) {
  write_at(size_, data);
  size_ += data.size();
}

void AtomicFile::write_at(uint64_t offset, ByteView data) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) io_error(path_, "write");
    offset += static_cast<uint64_t>(n);
    data = data.subspan(static_cast<uint64_t>(n));
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) io_error(path_, "sync");
  const bool done = overwrite_ ? ::rename(temporary_.c_str(), path_.c_str()) == 0
                               : rename_to_new(temporary_, path_);
  if (!done) {
    io_error(path_, errno == EEXIST ? "finish, another writer was first" : "finish");
  }
  ::close(fd_);
  fd_ = -1;
  const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  Descriptor d{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (d.fd >= 0) ::fsync(d.fd);  // the name itself; some file systems cannot, the data are safe
}

void write_file(const std::filesystem::path& path, ByteView data, bool overwrite) {
  AtomicFile file(path, overwrite);
  file.write(data);
  file.commit();
}

}  // namespace pith
