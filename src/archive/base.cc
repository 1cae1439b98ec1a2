#include "pith/archive/base.h"

#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <numeric>

#include "inputs.h"
#include "pith/archive/source.h"
#include "pith/base/file.h"
#include "read_range.h"

namespace pith::archive {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void outside(std::string_view name, uint64_t offset, uint64_t size) {
  fail(ErrorKind::kBase, "the base {} has no bytes {}..{}", name, offset, offset + size);
}

class ArchiveBase : public Base {
 public:
  ArchiveBase(Archive archive, std::string name)
      : archive_(std::move(archive)), name_(std::move(name)) {
    const auto& files = archive_.files();
    for (size_t f = 0; f < files.size(); ++f) {
      if (files[f].kind == EntryKind::kRegular) order_.push_back(f);
    }
    std::ranges::sort(order_, {}, [&](size_t f) -> const std::string& { return files[f].path; });
    for (const size_t f : order_) {
      auto& regions = tensors_.emplace_back();
      for (size_t t = 0; t < files[f].tensor_count; ++t) {
        regions.push_back(archive_.tensors()[files[f].first_tensor + t].region);
      }
    }
  }

  BaseRecord record() const override {
    return {name_, archive_.content_hash(), archive_.raw_size(), archive_.base_depth()};
  }
  size_t file_count() const override { return order_.size(); }
  std::string path(size_t file) const override { return info(file).path; }
  std::span<const io::TensorRegion> tensors(size_t file) const override { return tensors_[file]; }
  uint64_t size(size_t file) const override { return info(file).size; }
  void read(size_t file, uint64_t offset, MutableByteView out) const override {
    if (file >= order_.size() || offset > size(file) || out.size() > size(file) - offset) {
      outside(name_, offset, out.size());
    }
    read_range(archive_.impl(), order_[file], offset, out, ReadMode::kOnce);
  }

 private:
  const FileInfo& info(size_t file) const { return archive_.files()[order_.at(file)]; }

  Archive archive_;
  std::string name_;
  std::vector<size_t> order_;
  std::vector<std::vector<io::TensorRegion>> tensors_;
};

class RawBase : public Base {
 public:
  RawBase(std::span<const fs::path> paths, std::string name) {
    std::vector<FileDigest> digests;
    for (FoundFile& found : find_inputs(paths)) {
      if (found.directory) continue;
      File& f = files_.emplace_back(std::move(found));
      digests.push_back({f.found.path, f.mapping.bytes().size(), hash(f.mapping)});
      record_.size += digests.back().size;
    }
    record_.name = std::move(name);
    record_.hash = content_hash(std::move(digests));
  }

  BaseRecord record() const override { return record_; }
  size_t file_count() const override { return files_.size(); }
  std::string path(size_t file) const override { return files_.at(file).found.path; }
  uint64_t size(size_t file) const override { return files_.at(file).mapping.bytes().size(); }

  std::span<const io::TensorRegion> tensors(size_t file) const override {
    File& f = files_.at(file);
    std::call_once(f.described, [&] {
      if (!f.found.layout) {
        f.found.layout = io::describe(f.mapping.bytes(), f.found.disk).layout;
      }
    });
    return f.found.layout->tensors;
  }

  void read(size_t file, uint64_t offset, MutableByteView out) const override {
    if (file >= files_.size() || offset > size(file) || out.size() > size(file) - offset) {
      outside(record_.name, offset, out.size());
    }
    const MappedFile& mapping = files_[file].mapping;
    std::ranges::copy(mapping.bytes().subspan(offset, out.size()), out.begin());
    mapping.release(offset, out.size());
  }

 private:
  struct File {
    explicit File(FoundFile f) : found(std::move(f)), mapping(found.disk) {}
    FoundFile found;
    MappedFile mapping;
    std::once_flag described;
  };

  static Hash128 hash(const MappedFile& file) {
    constexpr uint64_t kStep = 16 << 20;
    Hasher128 hasher;
    for (uint64_t at = 0; at < file.bytes().size(); at += kStep) {
      const uint64_t n = std::min<uint64_t>(kStep, file.bytes().size() - at);
      hasher.update(file.bytes().subspan(at, n));
      file.release(at, n);
    }
    return hasher.digest();
  }

  mutable std::deque<File> files_;  // in path order
  BaseRecord record_;
};

bool is_archive_file(const fs::path& path) {
  if (!fs::is_regular_file(path)) return false;
  return Archive::is_archive(MappedFile(path).bytes());
}

// Candidates for the base of one archive, and why each was not it.
class Search {
 public:
  explicit Search(const Archive::Impl& archive) : archive_(archive), want_(*archive.base_record) {}

  std::shared_ptr<const Base> run() {
    std::vector<fs::path> raw;
    for (const fs::path& path : archive_.options.bases) {
      if (auto base = attempt({&path, 1})) return base;
      if (!is_archive_file(path)) raw.push_back(path);
    }
    if (raw.size() > 1) {
      if (auto base = attempt(raw)) return base;
    }
    if (auto base = beside()) return base;
    give_up();
  }

 private:
  std::shared_ptr<const Base> beside() {
    if (archive_.path.empty()) return nullptr;
    const fs::path path = archive_.path.parent_path() / want_.name;
    looked_ = path.string();
    if (!fs::exists(path)) return nullptr;
    return attempt({&path, 1});
  }

  // A candidate that cannot even be read is one more that was not it.
  std::shared_ptr<const Base> attempt(std::span<const fs::path> paths) {
    try {
      return is_archive_file(paths.front()) ? try_archive(paths.front()) : try_raw(paths);
    } catch (const Error& e) {
      rejected_ += fmt::format("; {}", e.what());
      return nullptr;
    }
  }

  std::shared_ptr<const Base> try_archive(const fs::path& path) {
    struct stat status;
    if (::stat(path.c_str(), &status) == 0 &&
        std::ranges::find(archive_.chain, std::pair{status.st_dev, status.st_ino}) !=
            archive_.chain.end()) {
      reject(path, "leads in a circle");
      return nullptr;
    }
    const Archive base = open_in_chain(path, archive_.options, archive_.chain);
    if (const Hash128 hash = base.content_hash(); hash != want_.hash) {
      reject(path, fmt::format("has content hash {}", hash.hex()));
      return nullptr;
    }
    return archive_base(base, path.filename().string());
  }

  std::shared_ptr<const Base> try_raw(std::span<const fs::path> paths) {
    uint64_t size = 0;
    for (const FoundFile& f : find_inputs(paths)) {
      if (!f.directory) size += fs::file_size(f.disk);
    }
    if (size != want_.size) {
      reject(paths.front(), fmt::format("has {} bytes instead of {}", size, want_.size));
      return nullptr;
    }
    auto base = std::make_shared<RawBase>(paths, paths.front().filename().string());
    if (base->record().hash == want_.hash) return base;
    reject(paths.front(), fmt::format("has content hash {}", base->record().hash.hex()));
    return nullptr;
  }

  void reject(const fs::path& path, std::string_view why) {
    rejected_ += fmt::format("; {} {}", path.string(), why);
  }

  [[noreturn]] void give_up() const {
    const std::string looked = looked_.empty() ? "" : fmt::format(" (looked in {})", looked_);
    fail(ErrorKind::kBase, "{}: needs its base with content hash {}, {}{}{}; give it with --base",
         archive_.name, want_.hash.hex(), want_.name, looked, rejected_);
  }

  const Archive::Impl& archive_;
  const BaseRecord& want_;
  std::string looked_, rejected_;
};

std::string base_name(std::span<const fs::path> paths) {
  std::string name = fs::weakly_canonical(paths.front()).filename().string();
  return name.empty() ? "base" : name;
}

}  // namespace

std::shared_ptr<const Base> locate_base(const Archive::Impl& archive) {
  if (archive.chain.size() > kMaxBaseDepth) {
    fail(ErrorKind::kBase, "{}: the chain of bases is longer than {}", archive.name, kMaxBaseDepth);
  }
  return Search(archive).run();
}

const Base& Archive::Impl::need_base() const {
  std::lock_guard lock(base_mutex);
  if (!base && !base_record) {
    fail(ErrorKind::kBase, "{}: is a difference to a base whose record is lost", name);
  }
  if (!base) base = locate_base(*this);
  return *base;
}

std::shared_ptr<const Base> open_base(std::span<const fs::path> paths,
                                      std::span<const fs::path> bases) {
  if (paths.empty()) fail(ErrorKind::kUsage, "no base is given");
  if (paths.size() == 1 && is_archive_file(paths.front())) {
    OpenOptions options;
    options.bases.assign(bases.begin(), bases.end());
    return archive_base(Archive::open(paths.front(), options), base_name(paths));
  }
  return std::make_shared<RawBase>(paths, base_name(paths));
}

std::shared_ptr<const Base> archive_base(Archive archive, std::string name) {
  return std::make_shared<ArchiveBase>(std::move(archive), std::move(name));
}

Hash128 content_hash(std::vector<FileDigest> files) {
  if (files.size() == 1) return files.front().hash;
  std::ranges::sort(files, {}, &FileDigest::path);
  Bytes all;
  ByteWriter w(all);
  for (const FileDigest& f : files) {
    w.u64(f.size);
    w.bytes(f.hash.bytes);
  }
  return hash128(all);
}

}  // namespace pith::archive
