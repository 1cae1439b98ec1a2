// Models in archives: the files of a folder as Hugging Face lays it out, or a GGUF file.
#include <algorithm>

#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "weight_files.h"

namespace pith::model {
namespace {

using archive::Archive;

// The files of one folder of an archive.
class ArchiveFolder final : public ModelFolder {
 public:
  ArchiveFolder(std::shared_ptr<const Archive> archive, std::string prefix, std::string where)
      : archive_(std::move(archive)), prefix_(std::move(prefix)), where_(std::move(where)) {}

  std::string where() const override { return where_; }

  std::vector<std::string> files() const override {
    std::vector<std::string> names;
    for (const archive::FileInfo& file : archive_->files()) {
      if (file.kind == archive::EntryKind::kRegular && in_folder(file.path)) {
        names.push_back(file.path.substr(prefix_.size()));
      }
    }
    std::ranges::sort(names);
    return names;
  }

  std::optional<Bytes> read(std::string_view name, uint64_t max_bytes) const override {
    const std::optional<size_t> file = find(name);
    if (!file) return std::nullopt;
    const uint64_t size = archive_->files()[*file].size;
    if (size > max_bytes) fail(ErrorKind::kLimit, "{}/{}: {} bytes", where_, name, size);
    Bytes bytes(size);
    archive_->read(*file, 0, bytes);
    return bytes;
  }

  std::optional<size_t> find(std::string_view name) const {
    const auto& files = archive_->files();
    const auto found =
        std::ranges::find(files, prefix_ + std::string(name), &archive::FileInfo::path);
    if (found == files.end()) return std::nullopt;
    return static_cast<size_t>(found - files.begin());
  }

 private:
  bool in_folder(const std::string& path) const {
    return path.starts_with(prefix_) && path.find('/', prefix_.size()) == std::string::npos;
  }

  std::shared_ptr<const Archive> archive_;
  std::string prefix_, where_;
};

// The only file that `is` says yes to.
template <class Is>
std::optional<size_t> only_file(const Archive& archive, const std::string& where,
                                std::string_view what, const Is& is) {
  std::optional<size_t> found;
  for (size_t i = 0; i < archive.files().size(); ++i) {
    if (!is(archive.files()[i])) continue;
    if (found) fail(ErrorKind::kData, "{}: it holds more than one {}", where, what);
    found = i;
  }
  return found;
}

uint64_t header_size(const Archive& archive, size_t file) {
  const archive::FileInfo& info = archive.files()[file];
  return info.tensor_count == 0 ? info.size : archive.tensors()[info.first_tensor].region.offset;
}

}  // namespace

std::unique_ptr<WeightSource> open_archive(const std::filesystem::path& path) {
  const auto archive = std::make_shared<const Archive>(Archive::open(path));
  const std::string where = path.string();
  const auto config = only_file(*archive, where, "config.json", [](const archive::FileInfo& f) {
    return f.path == "config.json" || f.path.ends_with("/config.json");
  });
  if (config) {
    const std::string& name = archive->files()[*config].path;
    auto folder = std::make_unique<ArchiveFolder>(
        archive, name.substr(0, name.size() - std::string_view("config.json").size()), where);
    const ArchiveFolder* files = folder.get();
    return open_hf(std::move(folder), [=](const std::string& part, NamedTensors& to) {
      const auto file = files->find(part);
      if (!file) fail(ErrorKind::kData, "{}: there is no {}", where, part);
      to.add(archive, *file, where);
    });
  }
  const auto gguf = only_file(*archive, where, "GGUF file",
                              [](const archive::FileInfo& f) { return f.format == "gguf"; });
  if (!gguf) {
    fail(ErrorKind::kData, "{}: there is no config.json and no GGUF file in it, so no model to run",
         where);
  }
  Bytes header(header_size(*archive, *gguf));
  archive->read(*gguf, 0, header);
  return open_gguf(where, header, [&](NamedTensors& to) { to.add(archive, *gguf, where); });
}

}  // namespace pith::model
