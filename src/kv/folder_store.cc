// Chunks as files of a folder.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "stores.h"

namespace pith::kv {
namespace {

namespace fs = std::filesystem;

class FolderStore final : public Store {
 public:
  explicit FolderStore(fs::path folder) : folder_(std::move(folder)) {}

  std::string name() const override { return folder_.string(); }

  // Who asks whether it can be reached is going to put something there.
  void reach() override {
    fs::path there = fs::absolute(folder_);
    while (!fs::exists(there) && there.has_relative_path()) there = there.parent_path();
    if (::access(there.c_str(), W_OK | X_OK) == 0) return;
    fail(ErrorKind::kIo, "{}: cannot be written: {}", name(), std::strerror(errno));
  }

  std::vector<std::optional<uint64_t>> sizes(std::span<const Hash128> ids) override {
    std::vector<std::optional<uint64_t>> out;
    for (const Hash128& id : ids) out.push_back(size(folder_ / chunk_file(id)));
    return out;
  }

  std::optional<Bytes> get(const Hash128& id, const Arrived& arrived) override {
    const fs::path path = folder_ / chunk_file(id);
    if (!size(path)) return std::nullopt;
    Bytes bytes = read_file(path);
    if (arrived) arrived(bytes);
    return bytes;
  }

  void put(const Hash128& id, ByteView chunk) override {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) fail(ErrorKind::kIo, "{}: cannot be made: {}", name(), error.message());
    write_file(folder_ / chunk_file(id), chunk, true);
  }

  std::vector<StoredChunk> list() override {
    std::error_code error;
    fs::directory_iterator files(folder_, error);
    if (error) fail(ErrorKind::kIo, "{}: {}", name(), error.message());
    std::vector<StoredChunk> out;
    for (const auto& file : files) {
      const auto id = chunk_of_file(file.path().filename().string());
      if (!id) continue;
      if (const auto bytes = size(file.path())) out.push_back({*id, *bytes});
    }
    std::ranges::sort(out, {}, &StoredChunk::id);
    return out;
  }

 private:
  static std::optional<uint64_t> size(const fs::path& path) {
    std::error_code error;
    const uint64_t bytes = fs::file_size(path, error);
    if (error) return std::nullopt;
    return bytes;
  }

  fs::path folder_;
};

}  // namespace

std::unique_ptr<Store> folder_store(fs::path folder) {
  return std::make_unique<FolderStore>(std::move(folder));
}

}  // namespace pith::kv
