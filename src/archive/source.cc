#include "pith/archive/source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "pith/archive/reader.h"
#include "pith/base/file.h"
#include "read_range.h"

namespace pith::archive {
namespace {

namespace fs = std::filesystem;

struct stat status_of(const fs::path& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
  }
  return status;
}

class MappedSource : public Source {
 public:
  MappedSource(fs::path path, std::optional<io::Layout> layout)
      : path_(std::move(path)), layout_(std::move(layout)), status_(status_of(path_)) {}

  io::Layout layout() override {
    if (layout_) return *layout_;
    const auto file = mapping();
    return io::describe(file->bytes(), path_).layout;
  }
  std::optional<uint64_t> size() const override { return static_cast<uint64_t>(status_.st_size); }
  uint32_t mode() const override { return status_.st_mode & 0777; }

  Buffer get(uint64_t offset, uint64_t n) override {
    const auto file = mapping();
    const ByteView all = file->bytes();
    if (offset >= all.size()) return {};
    const ByteView bytes = all.subspan(offset, std::min<uint64_t>(n, all.size() - offset));
    populate(bytes);
    return {bytes, file};
  }

  void release(uint64_t offset, uint64_t n) override {
    std::lock_guard lock(mutex_);
    if (mapping_) mapping_->release(offset, n);
    if (finished_) mapping_.reset();
  }

  // The mapping goes, so that a tree of many files does not run into the limit of mappings.
  void finish() override {
    const struct stat now = status_of(path_);
    const bool same = now.st_size == status_.st_size && now.st_ino == status_.st_ino &&
                      now.st_mtim.tv_sec == status_.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == status_.st_mtim.tv_nsec;
    if (!same) fail(ErrorKind::kIo, "{}: changed while it was being read", path_.string());
    std::lock_guard lock(mutex_);
    finished_ = true;
    mapping_.reset();
  }

 private:
  std::shared_ptr<const MappedFile> mapping() {
    std::lock_guard lock(mutex_);
    if (!mapping_) {
      auto file = std::make_shared<MappedFile>(path_);
      if (file->bytes().size() != static_cast<uint64_t>(status_.st_size)) {
        fail(ErrorKind::kIo, "{}: changed while it was being read", path_.string());
      }
      file->read_ahead();
      mapping_ = std::move(file);
    }
    return mapping_;
  }

  // Reads the pages in one go. Older kernels do not know the call and fault the pages in singly.
  static void populate(ByteView bytes) {
#ifdef MADV_POPULATE_READ
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto into_page = reinterpret_cast<uintptr_t>(bytes.data()) % page;
    ::madvise(const_cast<uint8_t*>(bytes.data()) - into_page, into_page + bytes.size(),
              MADV_POPULATE_READ);
#else
    (void)bytes;
#endif
  }

  fs::path path_;
  std::optional<io::Layout> layout_;
  struct stat status_;
  std::mutex mutex_;
  std::shared_ptr<const MappedFile> mapping_;
  bool finished_ = false;
};

class MemorySource : public Source {
 public:
  MemorySource(ByteView data, std::string name, std::optional<io::Layout> layout)
      : data_(data), name_(std::move(name)), layout_(std::move(layout)) {}
  io::Layout layout() override { return layout_ ? *layout_ : io::describe(data_, name_).layout; }
  std::optional<uint64_t> size() const override { return data_.size(); }
  Buffer get(uint64_t offset, uint64_t n) override {
    if (offset >= data_.size()) return {};
    return {data_.subspan(offset, std::min<uint64_t>(n, data_.size() - offset)), nullptr};
  }

 private:
  ByteView data_;
  std::string name_;
  std::optional<io::Layout> layout_;
};

class StreamSource : public Source {
 public:
  explicit StreamSource(int fd) : fd_(fd) {}
  io::Layout layout() override { return {}; }
  std::optional<uint64_t> size() const override { return std::nullopt; }
  bool rereadable() const override { return false; }

  Buffer get(uint64_t offset, uint64_t n) override {
    if (offset != at_) fail(ErrorKind::kUsage, "a stream cannot be read at byte {}", offset);
    auto buffer = std::make_shared<Bytes>(n);
    uint64_t done = 0;
    while (done < n) {
      const ssize_t got = ::read(fd_, buffer->data() + done, n - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(ErrorKind::kIo, "standard input: cannot read: {}", std::strerror(errno));
      if (got == 0) break;
      done += static_cast<uint64_t>(got);
    }
    at_ += done;
    return {ByteView(*buffer).first(done), buffer};
  }

 private:
  int fd_;
  uint64_t at_ = 0;
};

class ArchiveSource : public Source {
 public:
  ArchiveSource(Archive archive, size_t file) : archive_(std::move(archive)), file_(file) {}

  io::Layout layout() override {
    const FileInfo& info = archive_.files()[file_];
    io::Layout layout{info.format, {}, info.metadata, info.notes};
    for (const TensorInfo& t : tensors()) layout.tensors.push_back(t.region);
    return layout;
  }
  std::optional<uint64_t> size() const override { return archive_.files()[file_].size; }
  uint32_t mode() const override { return archive_.files()[file_].mode; }

  bool has_forms() const override {
    return std::ranges::any_of(tensors(), [](const TensorInfo& t) { return t.form.has_value(); });
  }

  std::optional<StoredForm> form(const io::TensorRegion& tensor) override {
    const auto [first, last] = std::ranges::equal_range(
        tensors(), tensor.offset, {}, [](const TensorInfo& t) { return t.region.offset; });
    for (auto t = first; t != last; ++t) {
      if (!t->form || t->region != tensor) continue;
      try {
        return stored_form(archive_.impl(), *t);
      } catch (const Error& e) {
        throw e.in(fmt::format("{}: {}", archive_.name(), tensor.name));
      }
    }
    return std::nullopt;
  }

  Buffer get(uint64_t offset, uint64_t n) override {
    if (offset >= *size()) return {};
    auto buffer = std::make_shared<Bytes>(std::min(n, *size() - offset));
    read_range(archive_.impl(), file_, offset, *buffer, ReadMode::kOnce);
    return {*buffer, buffer};
  }

 private:
  std::span<const TensorInfo> tensors() const {
    const FileInfo& info = archive_.files()[file_];
    return std::span(archive_.tensors()).subspan(info.first_tensor, info.tensor_count);
  }

  Archive archive_;
  size_t file_;
};

}  // namespace

std::shared_ptr<Source> mapped_source(fs::path path, std::optional<io::Layout> layout) {
  return std::make_shared<MappedSource>(std::move(path), std::move(layout));
}

std::shared_ptr<Source> memory_source(ByteView data, std::string name,
                                      std::optional<io::Layout> layout) {
  return std::make_shared<MemorySource>(data, std::move(name), std::move(layout));
}

std::shared_ptr<Source> stream_source(int fd) { return std::make_shared<StreamSource>(fd); }

std::shared_ptr<Source> archive_source(Archive archive, size_t file) {
  return std::make_shared<ArchiveSource>(std::move(archive), file);
}

std::vector<Input> archive_inputs(const Archive& archive) {
  std::vector<Input> inputs;
  for (size_t f = 0; f < archive.files().size(); ++f) {
    const FileInfo& info = archive.files()[f];
    const bool regular = info.kind == EntryKind::kRegular;
    inputs.push_back({info.path, regular ? archive_source(archive, f) : nullptr, info.mode});
  }
  return inputs;
}

}  // namespace pith::archive
