#include "pith/weights/journal.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "pith/base/error.h"
#include "pith/base/file.h"

namespace pith::weights {
namespace {

namespace fs = std::filesystem;

// Of a result, or one that a killed run did not finish.
bool is_ours(std::string_view name) {
  const bool hidden = name.starts_with('.') && name.ends_with(".part");
  const std::string_view key = hidden ? name.substr(1, 32) : name;
  return key.size() == 32 && key.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

// A result has its checksum behind it.
std::optional<Bytes> Journal::find(const Hash128& key) {
  if (!on()) return std::nullopt;
  std::error_code error;
  if (!fs::is_regular_file(path(key), error)) return std::nullopt;
  Bytes bytes = read_file(path(key), uint64_t{1} << 40);
  if (bytes.size() < sizeof(uint64_t)) return std::nullopt;
  const size_t size = bytes.size() - sizeof(uint64_t);
  const auto sum = load_le<uint64_t>(bytes.data() + size);
  bytes.resize(size);
  if (hash64(bytes) != sum) return std::nullopt;
  ++found_;
  return bytes;
}

void Journal::keep(const Hash128& key, ByteView result) {
  if (!on()) return;
  AtomicFile file(this->file(key), true);
  file.write(result);
  uint8_t sum[sizeof(uint64_t)];
  store_le(sum, hash64(result));
  file.write(sum);
  file.commit();
}

fs::path Journal::file(const Hash128& key) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) fail(ErrorKind::kIo, "{}: cannot be made: {}", folder_.string(), error.message());
  return path(key);
}

void Journal::remove() const {
  if (!on()) return;
  std::error_code error;
  std::vector<fs::path> ours;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    if (is_ours(at->path().filename().string())) ours.push_back(at->path());
  }
  for (const fs::path& path : ours) fs::remove(path, error);
  fs::remove(folder_, error);  // refused where it is not empty
}

void KeyMaker::add(ByteView bytes) {
  uint8_t size[sizeof(uint64_t)];
  store_le(size, static_cast<uint64_t>(bytes.size()));
  hasher_.update(size);
  hasher_.update(bytes);
}

KeyMaker& KeyMaker::add(std::string_view text) {
  add(as_bytes(text));
  return *this;
}

KeyMaker& KeyMaker::add(const Hash128& hash) {
  add(ByteView(hash.bytes));
  return *this;
}

KeyMaker& KeyMaker::add(double number) {
  uint8_t raw[sizeof number];
  store_le(raw, number);
  add(ByteView(raw));
  return *this;
}

KeyMaker& KeyMaker::add(uint64_t number) {
  uint8_t raw[sizeof number];
  store_le(raw, number);
  add(ByteView(raw));
  return *this;
}

}  // namespace pith::weights
