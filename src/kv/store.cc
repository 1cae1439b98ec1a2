#include "pith/kv/store.h"

#include <charconv>

#include "pith/base/error.h"
#include "stores.h"

namespace pith::kv {
namespace {

constexpr std::string_view kSuffix = ".kv";

bool is_archive_name(const std::filesystem::path& path) {
  return std::filesystem::is_regular_file(path) ||
         (path.extension() == ".pith" && !std::filesystem::is_directory(path));
}

}  // namespace

std::string chunk_file(const Hash128& id) { return id.hex() + std::string(kSuffix); }

std::optional<Hash128> parse_id(std::string_view hex) {
  Hash128 id;
  if (hex.size() != 2 * id.bytes.size()) return std::nullopt;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    const char* at = hex.data() + 2 * i;
    const auto read = std::from_chars(at, at + 2, id.bytes[i], 16);
    if (read.ec != std::errc() || read.ptr != at + 2) return std::nullopt;
  }
  return id;
}

std::optional<Hash128> chunk_of_file(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  return parse_id(name.substr(0, name.size() - kSuffix.size()));
}

std::unique_ptr<Store> open_store(std::string_view where) {
  if (where.empty()) fail(ErrorKind::kUsage, "a store without a name");
  if (where.starts_with("redis://")) return redis_store(where);
  if (where.find("://") != std::string_view::npos) {
    fail(ErrorKind::kUsage, "{}: a store is a folder, an archive NAME.pith or redis://…", where);
  }
  const std::filesystem::path path(where);
  return is_archive_name(path) ? archive_store(path) : folder_store(path);
}

}  // namespace pith::kv
