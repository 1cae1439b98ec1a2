// Random access to the bytes of one file.
#pragma once

#include "impl.h"

namespace pith::archive {

// Whether the archive's pages and decoded blocks may be wanted again soon.
enum class ReadMode { kAgain, kOnce };

// Fills `out` with the file's bytes from `offset` on; throws kUsage when they are not in the file.
void read_range(const Archive::Impl& archive, size_t file, uint64_t offset, MutableByteView out,
                ReadMode mode);

// The frame of a chunk, compared with the index.
struct ChunkFrame {
  FrameHeader header;
  ByteView payload;
};
ChunkFrame chunk_frame(const Archive::Impl& archive, size_t file, const Chunk& chunk);
// The chunk that holds the byte at `offset`, which lies within the file.
size_t chunk_at(const StoredFile& file, uint64_t offset);

}  // namespace pith::archive
