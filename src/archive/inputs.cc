#include "inputs.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "pith/archive/source.h"
#include "pith/base/file.h"

namespace pith::archive {
namespace {

namespace fs = std::filesystem;

using FileId = std::pair<dev_t, ino_t>;

class Finder {
 public:
  void add(const fs::path& given) {
    // "models/" and "." have no last name of their own.
    fs::path named = given.has_filename() ? given : given.parent_path();
    if (named.filename() == "." || named.filename() == ".." || named.filename().empty()) {
      named = fs::weakly_canonical(given);
    }
    const std::string name = named.filename().string();
    visit(given, name.empty() ? "root" : name);
  }

  std::vector<FoundFile> finish() {
    std::vector<FoundFile> all;
    for (auto& [path, file] : found_) all.push_back(std::move(file));
    return all;
  }

 private:
  void visit(const fs::path& disk, const std::string& path) {
    struct stat status;
    if (::stat(disk.c_str(), &status) != 0) {
      fail(ErrorKind::kIo, "{}: cannot open: {}", disk.string(), std::strerror(errno));
    }
    check(disk, path);
    const FileId id{status.st_dev, status.st_ino};
    if (S_ISDIR(status.st_mode)) {
      folder(disk, path, id, status.st_mode & 0777);
    } else if (S_ISREG(status.st_mode)) {
      regular(disk, path, id, status.st_mode & 0777);
    } else {
      fail(ErrorKind::kIo, "{}: is no regular file or folder and cannot be stored", disk.string());
    }
  }

  static void check(const fs::path& disk, const std::string& path) {
    try {
      check_path(path);
    } catch (const Error& e) {
      fail(ErrorKind::kUsage, "{}: cannot be stored under this name: {}", disk.string(), e.what());
    }
  }

  // True when it is new; the same file again is fine, another one of the same path is not.
  bool insert(FoundFile file, const FileId& id) {
    const auto [at, fresh] = ids_.try_emplace(file.path, id);
    if (!fresh && at->second != id) {
      fail(ErrorKind::kUsage, "{} and {} would both be stored as '{}'",
           found_.at(file.path).disk.string(), file.disk.string(), file.path);
    }
    if (fresh) found_.emplace(file.path, std::move(file));
    return fresh;
  }

  void folder(const fs::path& disk, const std::string& path, const FileId& id, uint32_t mode) {
    if (std::ranges::find(open_, id) != open_.end()) {
      fail(ErrorKind::kIo, "{}: the links of this folder lead in a circle", disk.string());
    }
    insert({path, disk, true, mode, {}}, id);
    open_.push_back(id);
    std::error_code error;
    std::vector<fs::path> names;
    for (fs::directory_iterator it(disk, error), end; !error && it != end; it.increment(error)) {
      names.push_back(it->path().filename());
    }
    if (error) fail(ErrorKind::kIo, "{}: cannot list: {}", disk.string(), error.message());
    std::ranges::sort(names);
    for (const fs::path& name : names) visit(disk / name, path + "/" + name.string());
    open_.pop_back();
  }

  void regular(const fs::path& disk, const std::string& path, const FileId& id, uint32_t mode) {
    if (!insert({path, disk, false, mode, {}}, id)) return;
    if (disk.extension() == ".json" || disk.extension() == ".onnx") belongings(disk, path);
  }

  // Shards that an index lists, external data of an ONNX model.
  void belongings(const fs::path& disk, const std::string& path) {
    const MappedFile file(disk);
    const io::Description description = io::describe(file.bytes(), disk);
    const auto neighbour = [&](const fs::path& relative) {
      const size_t slash = path.rfind('/');
      const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
      return folder + relative.generic_string();
    };
    for (const fs::path& part : description.parts) {
      if (fs::exists(disk.parent_path() / part)) {
        visit(disk.parent_path() / part, neighbour(part));
      } else if (open_.empty()) {
        fail(ErrorKind::kIo, "{}: lists {}, which is not there", disk.string(), part.string());
      }
    }
    for (const io::Companion& companion : description.companions) {
      const fs::path data = disk.parent_path() / companion.path;
      if (!fs::exists(data)) continue;
      const std::string name = neighbour(companion.path);
      visit(data, name);
      FoundFile& stored = found_.at(name);
      stored.layout.emplace();
      stored.layout->format = "onnx external data";
      stored.layout->tensors = companion.tensors;
    }
  }

  std::map<std::string, FoundFile> found_;  // by path bytes
  std::map<std::string, FileId> ids_;
  std::vector<FileId> open_;  // folders above the current one
};

}  // namespace

void check_path(std::string_view path) {
  const auto bad = [&](std::string_view why) {
    fail(ErrorKind::kData, "unsafe path '{}' ({})", path.substr(0, 200), why);
  };
  if (path.empty()) bad("it is empty");
  if (path.size() > 4096) bad("it is longer than 4096 bytes");
  if (path.front() == '/') bad("it is absolute");
  if (path.find('\0') != std::string_view::npos) bad("it has a zero byte");
  if (path.find('\\') != std::string_view::npos) bad("it has a backslash");
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    if (name.empty()) bad("a folder has no name");
    if (name == "." || name == "..") bad("it has a '.' or '..'");
    at = end + 1;
  }
}

std::vector<FoundFile> find_inputs(std::span<const fs::path> paths) {
  Finder finder;
  for (const fs::path& path : paths) finder.add(path);
  return finder.finish();
}

std::vector<Input> expand_inputs(std::span<const fs::path> paths) {
  std::vector<Input> inputs;
  for (FoundFile& file : find_inputs(paths)) {
    auto source = file.directory ? nullptr : mapped_source(file.disk, std::move(file.layout));
    inputs.push_back({std::move(file.path), std::move(source), file.mode});
  }
  return inputs;
}

}  // namespace pith::archive
