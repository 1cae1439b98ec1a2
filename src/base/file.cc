#include "pith/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

uint64_t open_regular(const fs::path& path, Descriptor& d) {
  d.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (d.fd < 0) io_error(path, "open");
  struct stat status;
  if (::fstat(d.fd, &status) != 0) io_error(path, "read its size");
  if (S_ISDIR(status.st_mode)) fail(ErrorKind::kIo, "{}: is a directory", path.string());
  if (!S_ISREG(status.st_mode)) fail(ErrorKind::kIo, "{}: is not a regular file", path.string());
  return static_cast<uint64_t>(status.st_size);
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
  if (!overwrite && fs::exists(path)) {
    fail(ErrorKind::kIo, "{}: exists already (overwriting must be asked for, --force)",
         path.string());
  }
  if (fs::is_directory(path)) fail(ErrorKind::kIo, "{}: is a directory", path.string());
  std::random_device random;
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = path;
    temporary_.replace_filename(fmt::format(".{}.{:08x}.part", path.filename().string(), random()));
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
  const uint64_t at = size_;
  size_ += data.size();
  write_at(at, data);
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
  // Of two writers without overwrite the second one must fail, however late it finds out.
  const unsigned flags = overwrite_ ? 0 : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), flags) != 0) {
    io_error(path_, errno == EEXIST ? "finish, another writer was first" : "finish");
  }
  ::close(fd_);
  fd_ = -1;
  const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  Descriptor d{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (d.fd >= 0) ::fsync(d.fd);  // the name itself; some file systems cannot, the data are safe
}

}  // namespace pith
