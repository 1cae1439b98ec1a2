// The members of a zip archive, found through its central directory and checked against their local
// headers. Nothing is decompressed.
#pragma once

#include <string>
#include <vector>

#include "pith/base/bytes.h"

namespace pith::io {

struct ZipMember {
  std::string name;
  uint16_t method = 0;  // 0: stored
  bool encrypted = false;
  ByteView content;     // of the archive, as it is stored
  uint64_t offset = 0;  // of the content in the archive
  bool stored() const { return method == 0 && !encrypted; }
};

// In the order of the directory. Throws ErrorKind::kData when the archive is damaged, and for
// archives in several parts.
std::vector<ZipMember> zip_members(ByteView archive);

}  // namespace pith::io
