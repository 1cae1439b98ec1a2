// What long work has done so far, kept in a folder of small files so that the same work, begun
// again, goes on where it was: a result for each key, the hash of everything that it follows from.
//
//   Journal journal("small.pith.journal");
//   std::optional<Bytes> done = journal.find(key);
//   if (!done) journal.keep(key, *(done = work()));
//   …
//   journal.remove();                              // when all is done
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "pith/base/bytes.h"
#include "pith/base/hash.h"

namespace pith::weights {

class Journal {
 public:
  // Empty: nothing is found or kept. The folder is made when something is kept.
  explicit Journal(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const { return folder_; }
  bool on() const { return !folder_.empty(); }

  // Nothing where there is none of that key, or one that was damaged.
  std::optional<Bytes> find(const Hash128& key);
  // On disk before it returns. Throws ErrorKind::kIo.
  void keep(const Hash128& key, ByteView result);

  // The path of a result that is a file of its own, in the folder, which is made.
  std::filesystem::path file(const Hash128& key) const;

  // Results that were found.
  uint64_t found() const { return found_; }

  // Removes what keep() wrote, and the folder if nothing else is in it. Never throws.
  void remove() const;

 private:
  std::filesystem::path path(const Hash128& key) const { return folder_ / key.hex(); }

  std::filesystem::path folder_;
  uint64_t found_ = 0;
};

// Of texts and numbers, each told apart from its neighbours.
class KeyMaker {
 public:
  KeyMaker& add(std::string_view text);
  KeyMaker& add(const Hash128& hash);
  KeyMaker& add(double number);
  KeyMaker& add(uint64_t number);
  Hash128 key() const { return hasher_.digest(); }

 private:
  void add(ByteView bytes);
  Hasher128 hasher_;
};

}  // namespace pith::weights
