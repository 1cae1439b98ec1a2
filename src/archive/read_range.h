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
// `checked`: its payload is compared with its checksum, unless that was done lately.
ChunkFrame chunk_frame(const Archive::Impl& archive, size_t file, const Chunk& chunk,
                       bool checked = true);
// The chunk that holds the byte at `offset`, which lies within the file.
size_t chunk_at(const StoredFile& file, uint64_t offset);

// Where the form of a tensor is: its own chunk, or the one of the equal tensor that it refers to.
struct FormChunk {
  size_t file = 0;
  const Chunk* chunk = nullptr;  // null: the tensor is stored losslessly
};
FormChunk form_chunk(const Archive::Impl& archive, const TensorInfo& tensor);
// What is recorded of it.
std::optional<FormInfo> form_info(const Archive::Impl& archive, const TensorInfo& tensor);
// The form as it stands in the archive; no value: the tensor is stored losslessly. The bytes are
// the archive's, without an owner.
std::optional<StoredForm> stored_form(const Archive::Impl& archive, const TensorInfo& tensor,
                                      bool checked = true);

}  // namespace pith::archive
