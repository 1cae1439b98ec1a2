#include "place.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "pith/base/error.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, std::string_view doing,
                         const std::error_code& error) {
  fail(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), doing, error.message());
}

bool is_empty_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error)) && fs::is_empty(path, error) && !error;
}

void move_entry(const fs::path& from, const fs::path& to);

void merge_folder(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from))
    move_entry(entry.path(), to / entry.path().filename());
}

void move_entry(const fs::path& from, const fs::path& to) {
  std::error_code error;
  const fs::file_status old = fs::symlink_status(to, error);
  const bool folder = fs::is_directory(fs::symlink_status(from, error));
  if (folder && fs::is_directory(old)) return merge_folder(from, to);
  if (folder && fs::exists(old)) fail(ErrorKind::kIo, "{}: is in the way of a folder", to.string());
  fs::rename(from, to, error);
  if (error) refuse(to, "replace", error);
}

}  // namespace

StagedFolder::StagedFolder(fs::path target, bool overwrite)
    : target_(std::move(target)), overwrite_(overwrite) {
  if (!target_.has_filename()) target_ = target_.parent_path();
  if (fs::exists(fs::symlink_status(target_)) && !overwrite_ && !is_empty_folder(target_)) {
    fail(ErrorKind::kIo, "{}: exists already (use --force to write into it)", target_.string());
  }
  fs::path name = target_.filename();
  if (name == "." || name == ".." || name.empty()) name = "pith";
  std::random_device random;
  for (int attempt = 0; staging_.empty(); ++attempt) {
    const fs::path folder = name == target_.filename() ? target_.parent_path() : target_;
    const fs::path candidate = folder / fmt::format(".{}.{:08x}.part", name.string(), random());
    if (::mkdir(candidate.c_str(), 0777) == 0) {
      staging_ = candidate;
    } else if (errno != EEXIST || attempt > 100) {
      fail(ErrorKind::kIo, "{}: cannot create: {}", target_.string(), std::strerror(errno));
    }
  }
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
}

void StagedFolder::commit(const fs::path& inner) {
  const fs::path from = inner.empty() ? staging_ : staging_ / inner;
  std::error_code error;
  const fs::file_status old = fs::symlink_status(target_, error);
  if (fs::exists(old) && !overwrite_ && !is_empty_folder(target_)) {
    fail(ErrorKind::kIo, "{}: exists already, another writer was first", target_.string());
  }
  if (fs::is_directory(old)) {
    merge_folder(from, target_);
  } else if (fs::exists(old)) {
    fail(ErrorKind::kIo, "{}: is not a folder", target_.string());
  } else {
    fs::rename(from, target_, error);
    if (error) refuse(target_, "finish", error);
  }
  fs::remove_all(staging_, error);
  staging_.clear();
}

}  // namespace pith::command
