// Files: read-only mappings, and outputs that appear whole or not at all.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "pith/base/bytes.h"

namespace pith {

// A regular file mapped read-only. Throws ErrorKind::kIo naming the path when it cannot be opened.
// A file that another process shortens while it is mapped raises SIGBUS, as with every mapping.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  ByteView bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }
  // Hints: pages will be read in order / pages of this range are not needed any more (keeps the
  // resident set small while a large file streams through).
  void read_ahead() const;
  void release(uint64_t offset, uint64_t size) const;

 private:
  std::filesystem::path path_;
  ByteView bytes_;
};

// Whole small file (configurations, indexes); throws ErrorKind::kLimit above max_bytes.
Bytes read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 32);

// Writes to a hidden file beside `path`, which appears under its name at commit() and not before:
// data are synced, then renamed. Destroyed without commit, the temporary file is removed. Without
// `overwrite` an existing path is refused, at the start and (against a second writer) at commit;
// what is no regular file always.
class AtomicFile {
 public:
  AtomicFile(const std::filesystem::path& path, bool overwrite);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(ByteView data);                      // appends
  void write_at(uint64_t offset, ByteView data);  // within what was written already
  uint64_t size() const { return size_; }
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
  uint64_t size_ = 0;
  bool overwrite_;
};
// All of a file at once, through one.
void write_file(const std::filesystem::path& path, ByteView data, bool overwrite);

}  // namespace pith
