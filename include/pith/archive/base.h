// What a delta is a delta to: an archive, or the original files themselves.
//
// A base is known by its content hash, so that an archive, the same archive at another level and
// the files it was made from are interchangeable. The content hash covers the regular files in the
// order of their paths, without the paths: for one file it is the XXH3-128 of the file (what
// `xxhsum -H2` prints), for several the XXH3-128 over each one's size and hash.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/hash.h"
#include "pith/io/layout.h"

namespace pith::archive {

class Archive;

// Longest chain of deltas that is written or followed.
inline constexpr uint32_t kMaxBaseDepth = 64;

// What an archive records about its base.
struct BaseRecord {
  std::string name;    // file name without folder, for lookup beside the archive
  Hash128 hash;        // content hash
  uint64_t size = 0;   // bytes of its regular files together
  uint32_t depth = 0;  // deltas below the base itself, 0: it stands alone
};

class Base {
 public:
  virtual ~Base() = default;
  virtual BaseRecord record() const = 0;
  // Regular files, in path order.
  virtual size_t file_count() const = 0;
  virtual std::string path(size_t file) const = 0;
  virtual std::span<const io::TensorRegion> tensors(size_t file) const = 0;
  virtual uint64_t size(size_t file) const = 0;
  // Fills `out` from `offset` on; thread-safe. Throws kBase when the base has no such bytes.
  virtual void read(size_t file, uint64_t offset, MutableByteView out) const = 0;
};

// One .pith archive (recognised by its content), or one or more original files or folders, which
// are read once to hash them. `bases`: where the bases of a base archive are looked for besides its
// own folder.
std::shared_ptr<const Base> open_base(std::span<const std::filesystem::path> paths,
                                      std::span<const std::filesystem::path> bases = {});
std::shared_ptr<const Base> archive_base(Archive archive, std::string name);

struct FileDigest {
  std::string path;
  uint64_t size = 0;
  Hash128 hash;
};
Hash128 content_hash(std::vector<FileDigest> files);

}  // namespace pith::archive
