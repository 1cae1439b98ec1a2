// Whole files and trees back to disk.
#include <sys/stat.h>

#include <algorithm>

#include "pith/archive/reader.h"
#include "pith/archive/source.h"
#include "stream_out.h"

namespace pith::archive {
namespace {

namespace fs = std::filesystem;

// Runs of a file in order into a sink, with its content hash checked at the end.
void stream_file(const Archive::Impl& archive, size_t file, int threads,
                 const std::function<void(ByteView)>& sink,
                 const std::function<void(uint64_t)>& advance) {
  const FileInfo& info = archive.files.at(file);
  if (info.kind != EntryKind::kRegular) {
    fail(ErrorKind::kUsage, "{}: {} is a folder", archive.name, info.path);
  }
  if (!archive.stored[file].ended) {
    fail(ErrorKind::kData, "{}: the end of {} is lost", archive.name, info.path);
  }
  Hasher128 hasher;
  decode_in_order(archive, file, threads, false, [&](DecodedRun& run) {
    hasher.update(run.bytes);
    sink(run.bytes);
    advance(run.size);
  });
  if (const Hash128 hash = hasher.digest(); hash != info.hash) {
    fail(ErrorKind::kData, "{}: {}: the content hash is {} instead of {}", archive.name, info.path,
         hash.hex(), info.hash.hex());
  }
}

// The recorded permissions as far as the umask, which the new file shows, grants them; execution
// goes where reading does.
void set_mode(const fs::path& target, uint32_t mode) {
  struct stat status;
  if (::stat(target.c_str(), &status) != 0) return;
  const mode_t granted = (status.st_mode & 0666) | (status.st_mode & 0444) >> 2;
  ::chmod(target.c_str(), mode & granted);
}

void stream_to_disk(const Archive::Impl& archive, size_t file, const fs::path& target,
                    const ExtractOptions& options, const std::function<void(uint64_t)>& advance) {
  AtomicFile out(target, options.overwrite);
  stream_file(
      archive, file, options.threads, [&](ByteView bytes) { out.write(bytes); }, advance);
  out.commit();
  set_mode(target, archive.files[file].mode);
}

// Creates folder/a/b for "a/b", refusing to go through links.
void make_folders(const fs::path& folder, std::string_view path) {
  for (size_t at = 0; at < path.size();) {
    at = std::min(path.find('/', at), path.size());
    const fs::path step = folder / path.substr(0, at);
    const fs::file_status status = fs::symlink_status(step);
    if (fs::is_symlink(status)) {
      fail(ErrorKind::kIo, "{}: is a symbolic link; nothing is written through it", step.string());
    }
    std::error_code error;
    fs::create_directory(step, error);
    if (error || (fs::exists(status) && !fs::is_directory(status))) {
      fail(ErrorKind::kIo, "{}: cannot create the folder: {}", step.string(),
           error ? error.message() : "a file is there");
    }
    ++at;
  }
}

std::string_view parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

void refuse_link(const fs::path& target) {
  if (fs::is_symlink(fs::symlink_status(target))) {
    fail(ErrorKind::kIo, "{}: is a symbolic link and is not overwritten", target.string());
  }
}

}  // namespace

void Archive::extract_file(size_t file, const fs::path& target,
                           const ExtractOptions& options) const {
  uint64_t done = 0;
  const uint64_t total = impl_->files.at(file).size;
  stream_to_disk(*impl_, file, target, options,
                 [&](uint64_t n) { report(options.progress, done += n, total); });
}

void Archive::extract_file(size_t file, const std::function<void(ByteView)>& sink,
                           const ExtractOptions& options) const {
  uint64_t done = 0;
  const uint64_t total = impl_->files.at(file).size;
  stream_file(*impl_, file, options.threads, sink,
              [&](uint64_t n) { report(options.progress, done += n, total); });
}

void Archive::extract_all(const fs::path& folder, const ExtractOptions& options) const {
  uint64_t done = 0;
  const uint64_t total = raw_size();
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    fail(ErrorKind::kIo, "{}: cannot create the folder: {}", folder.string(), error.message());
  }
  for (size_t f = 0; f < files().size(); ++f) {
    const FileInfo& info = files()[f];
    check_path(info.path);
    if (info.kind == EntryKind::kDirectory) {
      make_folders(folder, info.path);
      continue;
    }
    make_folders(folder, parent_of(info.path));
    refuse_link(folder / info.path);
    stream_to_disk(*impl_, f, folder / info.path, options,
                   [&](uint64_t n) { report(options.progress, done += n, total); });
  }
}

}  // namespace pith::archive
