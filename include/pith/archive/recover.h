// Makes the best of a damaged archive: cut short, overwritten in places, without its index.
//
// Recovery scans the file for frames that are whole, rebuilds the index from them (or takes the
// index, if that is what survived), and tells what is there and what is not. The archive that comes
// back reads like any other, except that a read that touches a lost range throws kData naming it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pith/archive/reader.h"

namespace pith::archive {

struct Recovery {
  Archive archive;
  bool index_survived = false;
  std::vector<size_t> whole_files;    // indices into archive.files()
  std::vector<size_t> damaged_files;  // some of their bytes are lost, or their end is unknown
  std::vector<size_t> whole_tensors;  // indices into archive.tensors()
  std::vector<size_t> damaged_tensors;
  uint64_t lost_bytes = 0;         // of original data, as far as it is known
  std::vector<std::string> notes;  // one line each, for people
};

// Throws kData only when nothing at all that belongs to an archive is found, kIo when the file
// cannot be read. Every surviving chunk is checked against its checksum.
Recovery recover(const std::filesystem::path& path, OpenOptions options = {});
Recovery recover_memory(ByteView bytes, OpenOptions options = {});

}  // namespace pith::archive
