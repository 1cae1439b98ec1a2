// The stores that there are; open_store() chooses.
#pragma once

#include <filesystem>
#include <memory>

#include "pith/kv/store.h"

namespace pith::kv {

// A file ID.kv for each chunk, which appears whole or not at all.
std::unique_ptr<Store> folder_store(std::filesystem::path folder);
// Such files in an archive. What is put waits in memory for flush(), which writes the archive anew
// with what others have put there meanwhile.
std::unique_ptr<Store> archive_store(std::filesystem::path path);
std::unique_ptr<Store> redis_store(std::string_view url);

// "ID.kv"; and back, nothing for any other name.
std::string chunk_file(const Hash128& id);
std::optional<Hash128> chunk_of_file(std::string_view name);
// Of 32 hexadecimal digits.
std::optional<Hash128> parse_id(std::string_view hex);

}  // namespace pith::kv
