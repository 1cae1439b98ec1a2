#include "read_range.h"

#include <algorithm>

#include "pith/base/hash.h"

namespace pith::archive {
namespace {

// Larger payloads are given back to the system after a single use.
constexpr uint64_t kWorthReleasing = 64 << 10;

class ChunkReader {
 public:
  ChunkReader(const Archive::Impl& archive, size_t file, const Chunk& chunk, ReadMode mode)
      : archive_(archive), file_(file), chunk_(chunk), mode_(mode) {}

  // Fills `out` with the chunk's bytes from `skip` on.
  void read(uint64_t skip, MutableByteView out) {
    if (chunk_.kind == ChunkKind::kForm) return read_form(skip, out);
    const ChunkFrame frame = chunk_frame(archive_, file_, chunk_);
    const std::vector<Block> blocks = read_blocks(frame.payload, chunk_.raw);
    const uint64_t end = skip + out.size();
    auto b = std::ranges::upper_bound(blocks, skip, {}, &Block::offset) - 1;
    for (; b != blocks.end() && b->offset < end; ++b) {
      const uint64_t first = std::max(skip, b->offset);
      const uint64_t last = std::min(end, b->offset + b->raw);
      part(*b, first, out.subspan(first - skip, last - first));
    }
    const bool whole = out.size() == chunk_.raw;
    if (whole && archive_.options.verify_raw && hash64(out) != frame.header.raw_hash) {
      fail(ErrorKind::kData, "the decoded bytes do not match their checksum");
    }
    release();
  }

 private:
  void read_form(uint64_t skip, MutableByteView out) {
    auto form = archive_.forms.find(chunk_.at);
    if (!form) {
      const FormPayload stored = read_form_payload(chunk_frame(archive_, file_, chunk_).payload);
      form = std::make_shared<FormElements>(form::read(stored.form, nullptr), stored.record,
                                            chunk_.raw);
      allow(form->scratch());
      archive_.forms.insert(chunk_.at, form);
    }
    form->read(skip, out);
    if (skip + out.size() == chunk_.raw) release();
  }

  void release() const {
    if (mode_ == ReadMode::kOnce && archive_.mapping && chunk_.stored >= kWorthReleasing) {
      archive_.mapping->release(chunk_.at, frame_span(chunk_.stored));
    }
  }

  // The bytes of one block from `first` (in the chunk) on.
  void part(const Block& block, uint64_t first, MutableByteView out) {
    if (out.size() == block.raw) return decode(block, out);
    const auto place = static_cast<uint64_t>(block.coded.data() - archive_.bytes.data());
    auto decoded = archive_.blocks.find(place);
    if (!decoded) {
      allow(block.raw);
      auto fresh = std::make_shared<Bytes>(block.raw);
      decode(block, *fresh);
      decoded = fresh;
      archive_.blocks.insert(place, decoded, block.raw);
    }
    std::ranges::copy(ByteView(*decoded).subspan(first - block.offset, out.size()), out.begin());
  }

  void decode(const Block& block, MutableByteView out) {
    if (!lossless::needs_base(block.coded)) return lossless::decode(block.coded, {}, out);
    allow(block.raw);
    const auto& based = archive_.stored[file_].based;
    const uint64_t at = chunk_.offset + block.offset;
    if (!touches_base(based, at, block.raw)) {
      fail(ErrorKind::kData, "a difference to a base, but no tensor there has one");
    }
    lossless::decode(block.coded, base_image(based, at, block.raw, archive_.need_base()), out);
  }

  void allow(uint64_t bytes) const {
    if (bytes > archive_.options.memory_limit) {
      fail(ErrorKind::kLimit, "a block of {} bytes is above the memory limit of {}", bytes,
           archive_.options.memory_limit);
    }
  }

  const Archive::Impl& archive_;
  size_t file_;
  const Chunk& chunk_;
  ReadMode mode_;
};

void read_chunk(const Archive::Impl& archive, size_t file, const Chunk& chunk, uint64_t skip,
                MutableByteView out, ReadMode mode) {
  try {
    if (chunk.kind == ChunkKind::kLost) fail(ErrorKind::kData, "destroyed by damage");
    ChunkReader(archive, file, chunk, mode).read(skip, out);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kBase) throw;  // says itself which archive needs which
    throw e.in(fmt::format("{}: {}: bytes {}..{}", archive.name, archive.files[file].path,
                           chunk.offset, chunk.offset + chunk.raw));
  }
}

}  // namespace

ChunkFrame chunk_frame(const Archive::Impl& archive, size_t file, const Chunk& chunk,
                       bool checked) {
  // The index was checked against the archive's length, so the frame is there.
  const ByteView at = archive.bytes.subspan(chunk.at, kHeaderSize + chunk.stored);
  const auto header = read_frame_header(at);
  if (!header) fail(ErrorKind::kData, "its frame header is damaged");
  const uint64_t number = archive.numbers.empty() ? file : archive.numbers[file];
  if (header->id != archive.header.id || header->file != number || header->offset != chunk.offset ||
      header->stored != chunk.stored || header->raw != chunk.raw ||
      static_cast<uint8_t>(header->kind) != static_cast<uint8_t>(chunk.kind)) {
    fail(ErrorKind::kData, "another frame stands in its place");
  }
  if (header->flags & ~kFrameIgnorable) {
    fail(ErrorKind::kData, "it has flags that this Pith does not know");
  }
  const ByteView payload = at.subspan(kHeaderSize);
  if (checked && !archive.whole_chunks.has(chunk.at)) {
    if (hash64(payload) != header->payload_hash) {
      fail(ErrorKind::kData, "its checksum does not match");
    }
    archive.whole_chunks.insert(chunk.at);
  }
  return {*header, payload};
}

size_t chunk_at(const StoredFile& file, uint64_t offset) {
  const auto c = std::ranges::upper_bound(file.chunks, offset, {}, &Chunk::offset);
  return static_cast<size_t>(c - file.chunks.begin()) - 1;
}

FormChunk form_chunk(const Archive::Impl& archive, const TensorInfo& tensor) {
  const io::TensorRegion& t = tensor.region;
  if (t.size == 0) return {};
  FormChunk at{tensor.file, nullptr};
  const Chunk* chunk = &archive.stored[at.file].chunks[chunk_at(archive.stored[at.file], t.offset)];
  uint64_t offset = t.offset;
  if (chunk->kind == ChunkKind::kRef) {
    if (t.size > chunk->offset + chunk->raw - t.offset) return {};
    offset = chunk->ref_offset + (t.offset - chunk->offset);
    at.file = chunk->ref_file;
    chunk = &archive.stored[at.file].chunks[chunk_at(archive.stored[at.file], offset)];
  }
  if (chunk->kind != ChunkKind::kForm || chunk->offset != offset || chunk->raw != t.size) return {};
  const FormRecord& record = archive.stored[at.file].forms[chunk->form];
  if (record.dtype != t.dtype || record.big_endian != t.big_endian) return {};
  at.chunk = chunk;
  return at;
}

std::optional<FormInfo> form_info(const Archive::Impl& archive, const TensorInfo& tensor) {
  const FormChunk at = form_chunk(archive, tensor);
  if (!at.chunk) return std::nullopt;
  return archive.stored[at.file].forms[at.chunk->form].info;
}

std::optional<StoredForm> stored_form(const Archive::Impl& archive, const TensorInfo& tensor,
                                      bool checked) {
  const FormChunk at = form_chunk(archive, tensor);
  if (!at.chunk) return std::nullopt;
  FormPayload payload =
      read_form_payload(chunk_frame(archive, at.file, *at.chunk, checked).payload);
  return StoredForm{std::move(payload.record.info), Buffer(payload.form, nullptr)};
}

void read_range(const Archive::Impl& archive, size_t file, uint64_t offset, MutableByteView out,
                ReadMode mode) {
  const FileInfo& info = archive.files.at(file);
  if (offset > info.size || out.size() > info.size - offset) {
    fail(ErrorKind::kUsage, "{}: {}: bytes {}..{} do not lie within its {} bytes", archive.name,
         info.path, offset, offset + out.size(), info.size);
  }
  if (out.empty()) return;
  const auto& chunks = archive.stored[file].chunks;
  for (size_t c = chunk_at(archive.stored[file], offset); !out.empty(); ++c) {
    const Chunk& chunk = chunks[c];
    const uint64_t skip = offset - chunk.offset;
    const uint64_t n = std::min<uint64_t>(out.size(), chunk.raw - skip);
    if (chunk.kind == ChunkKind::kRef) {
      // Leads to coded bytes only (checked when the index was read): no recursion beyond this one.
      read_range(archive, chunk.ref_file, chunk.ref_offset + skip, out.first(n), mode);
    } else {
      read_chunk(archive, file, chunk, skip, out.first(n), mode);
    }
    out = out.subspan(n);
    offset += n;
  }
}

}  // namespace pith::archive
