#include <algorithm>

#include "compress.h"
#include "message.h"
#include "output.h"
#include "progress_bar.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

// Where the entry `path` was read from: beside one of the named inputs. A place without such a
// file, or with a link, is none.
std::vector<fs::path> places(const std::vector<std::string>& inputs, const std::string& path) {
  std::vector<fs::path> found;
  for (const std::string& input : inputs) {
    const fs::path named(input);
    const fs::path folder = (named.has_filename() ? named : named.parent_path()).parent_path();
    const fs::path place = folder / path;
    std::error_code error;
    const bool known = std::ranges::find(found, place) != found.end();
    if (!known && fs::is_regular_file(fs::symlink_status(place, error))) found.push_back(place);
  }
  return found;
}

Hash128 hash_of(const fs::path& path) {
  const MappedFile file(path);
  file.read_ahead();
  return hash128(file.bytes());
}

// True when it is gone.
bool remove_file(const fs::path& place, const archive::FileInfo& stored) {
  if (fs::file_size(place) != stored.size || hash_of(place) != stored.hash) return false;
  std::error_code error;
  fs::remove(place, error);
  if (error) fail(ErrorKind::kIo, "{}: cannot remove: {}", place.string(), error.message());
  return true;
}

void remove_folders(const std::vector<std::string>& inputs, const archive::Archive& archive) {
  for (auto f = archive.files().rbegin(); f != archive.files().rend(); ++f) {
    if (f->kind != archive::EntryKind::kDirectory) continue;
    for (const std::string& input : inputs) {
      const fs::path named(input);
      const fs::path place =
          (named.has_filename() ? named : named.parent_path()).parent_path() / f->path;
      std::error_code ignored;  // a folder that is not empty stays
      if (fs::is_directory(fs::symlink_status(place, ignored))) fs::remove(place, ignored);
    }
  }
}

void verify_archive(const archive::Archive& archive, const fs::path& path, int threads,
                    bool quiet) {
  ProgressBar bar("verifying " + path.string(), quiet);
  const archive::VerifyReport report = archive.verify(threads, bar.callback());
  bar.clear();
  if (!report.ok()) {
    fail(ErrorKind::kData, "{}: {}; the inputs are kept", path.string(),
         report.problems.front().what);
  }
}

}  // namespace

void remove_inputs(const std::vector<std::string>& inputs, const fs::path& archive_path,
                   const std::vector<std::string>& bases, int threads, bool quiet) {
  archive::OpenOptions options;
  options.bases = to_paths(bases);
  const auto archive = archive::Archive::open(archive_path, options);
  verify_archive(archive, archive_path, threads, quiet);
  for (const archive::FileInfo& file : archive.files()) {
    if (file.kind != archive::EntryKind::kRegular) continue;
    bool removed = false;
    for (const fs::path& place : places(inputs, file.path)) {
      removed = removed || remove_file(place, file);
    }
    if (!removed)
      print_warning(fmt::format("{}: kept: it is a link, or changed meanwhile", file.path));
  }
  remove_folders(inputs, archive);
}

}  // namespace pith::command
