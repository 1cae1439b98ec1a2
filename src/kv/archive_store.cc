// Chunks as files of an archive.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "stores.h"

namespace pith::kv {
namespace {

namespace fs = std::filesystem;
using archive::Archive;

// Held while an archive is read and written anew, so that two processes do so one after the other.
// It is a file of its own, for the archive is replaced.
class Lock {
 public:
  explicit Lock(const fs::path& archive) {
    fs::path path = archive;
    path.replace_filename(fmt::format(".{}.lock", archive.filename().string()));
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int failed = fd_ < 0 ? -1 : ::flock(fd_, LOCK_EX);
    while (fd_ >= 0 && failed != 0 && errno == EINTR) failed = ::flock(fd_, LOCK_EX);
    if (failed == 0) return;
    const int error = errno;
    if (fd_ >= 0) ::close(fd_);
    fail(ErrorKind::kIo, "{}: cannot be locked: {}", path.string(), std::strerror(error));
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

class ArchiveStore final : public Store {
 public:
  explicit ArchiveStore(fs::path path) : path_(std::move(path)) {
    try {
      open();
    } catch (const Error& e) {
      // A damaged one is told when it is used; any other file was meant for something else.
      if (e.kind() == ErrorKind::kUsage || !fs::is_regular_file(path_) ||
          !Archive::is_archive(MappedFile(path_).bytes()))
        throw;
    }
  }

  std::string name() const override { return path_.string(); }

  // What cannot be read is neither believed nor written anew.
  void reach() override {
    if (archive_) return;
    try {
      open();
    } catch (const Error& e) {
      fail(ErrorKind::kIo, "{}; it is left as it is", e.what());
    }
  }

  std::vector<std::optional<uint64_t>> sizes(std::span<const Hash128> ids) override {
    reach();
    std::vector<std::optional<uint64_t>> out;
    for (const Hash128& id : ids) {
      const auto put = put_.find(id);
      const auto file = files_.find(id);
      if (put != put_.end()) {
        out.push_back(put->second.size());
      } else {
        out.push_back(file == files_.end() ? std::nullopt : std::optional(size(file->second)));
      }
    }
    return out;
  }

  std::optional<Bytes> get(const Hash128& id, const Arrived& arrived) override {
    if (const auto put = put_.find(id); put != put_.end()) return put->second;
    reach();
    const auto file = files_.find(id);
    if (file == files_.end()) return std::nullopt;
    Bytes bytes(size(file->second));
    archive_->read(file->second, 0, bytes);
    if (arrived) arrived(bytes);
    return bytes;
  }

  void put(const Hash128& id, ByteView chunk) override {
    reach();
    put_[id] = {chunk.begin(), chunk.end()};
  }

  void flush() override {
    if (put_.empty()) return;
    const Lock lock(path_);
    open();
    std::vector<archive::Input> inputs;
    if (archive_) {
      for (archive::Input& input : archive::archive_inputs(*archive_)) {
        const auto id = chunk_of_file(input.path);
        if (!id || !put_.contains(*id)) inputs.push_back(std::move(input));
      }
    }
    for (const auto& [id, bytes] : put_) {
      const std::string file = chunk_file(id);
      inputs.push_back({file, archive::memory_source(bytes, file, io::Layout{})});
    }
    archive::write_archive(inputs, path_, {.level = lossless::Level::kFast, .overwrite = true});
    put_.clear();
    open();
  }

  std::vector<StoredChunk> list() override {
    reach();
    if (!archive_ && put_.empty()) fail(ErrorKind::kIo, "{}: there is no such archive", name());
    std::map<Hash128, uint64_t> all;
    for (const auto& [id, file] : files_) all[id] = size(file);
    for (const auto& [id, bytes] : put_) all[id] = bytes.size();
    std::vector<StoredChunk> out;
    for (const auto& [id, bytes] : all) out.push_back({id, bytes});
    return out;
  }

 private:
  void open() {
    files_.clear();
    archive_.reset();
    if (!fs::exists(path_)) return;
    archive_ = Archive::open(path_);
    const auto& files = archive_->files();
    for (size_t i = 0; i < files.size(); ++i) {
      const auto id = chunk_of_file(files[i].path);
      if (!id) {
        const std::string other = files[i].path;
        files_.clear();
        archive_.reset();
        fail(ErrorKind::kUsage, "{}: an archive of other files ({}), not of keys and values",
             name(), other);
      }
      files_[*id] = i;
    }
  }

  uint64_t size(size_t file) const { return archive_->files()[file].size; }

  fs::path path_;
  std::optional<Archive> archive_;
  std::map<Hash128, size_t> files_;
  std::map<Hash128, Bytes> put_;  // not in the archive yet
};

}  // namespace

std::unique_ptr<Store> archive_store(fs::path path) {
  return std::make_unique<ArchiveStore>(std::move(path));
}

}  // namespace pith::kv
