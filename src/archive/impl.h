// What an open archive is made of.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chunk.h"
#include "form_chunk.h"
#include "pith/archive/reader.h"
#include "pith/base/file.h"
#include "recent.h"
#include "record.h"

namespace pith::archive {

// The archives above one in a chain of deltas, to notice a circle.
using Chain = std::vector<std::pair<dev_t, ino_t>>;

struct StoredFile {
  std::vector<Chunk> chunks;
  std::vector<BasedTensor> based;  // ascending by offset
  std::vector<FormRecord> forms;   // of chunks
  bool ended = true;               // size and hash are known
};

struct Archive::Impl {
  std::string name;                     // for messages
  std::filesystem::path path;           // empty: in memory
  std::unique_ptr<MappedFile> mapping;  // null: in memory
  ByteView bytes;
  OpenOptions options;
  ArchiveHeader header;
  bool recovered = false;  // footer and index may be missing

  std::vector<FileInfo> files;
  std::vector<TensorInfo> tensors;
  std::vector<StoredFile> stored;  // one for each of files
  std::vector<uint32_t> numbers;   // of the files, where recovery left gaps; empty: 0, 1, …
  std::unordered_map<std::string_view, std::vector<size_t>> by_name;
  std::optional<BaseRecord> base_record;
  Chain chain;  // this archive and those that it is a base of

  mutable std::mutex base_mutex;
  mutable std::shared_ptr<const Base> base;
  mutable RecentValues<Bytes> blocks{32, uint64_t{64} << 20};
  mutable RecentValues<FormElements> forms{8};
  mutable RecentPlaces whole_chunks;

  // Takes the files of the index apart into the tables above.
  void adopt(Index index);
  // The base, opened when it is first needed. Throws kBase.
  const Base& need_base() const;
};

// Opens with knowledge of the chain above.
Archive open_in_chain(const std::filesystem::path& path, OpenOptions options, Chain chain);
// Maps the file, takes its name; the header is not read yet.
std::shared_ptr<Archive::Impl> map_archive(const std::filesystem::path& path, OpenOptions options);
// Finds the base of an archive among its options' paths and beside it. Throws kBase.
std::shared_ptr<const Base> locate_base(const Archive::Impl& archive);
uint64_t metadata_limit(const OpenOptions& options);

}  // namespace pith::archive
