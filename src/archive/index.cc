// The index: every file record and where its runs stand in the archive.
#include <algorithm>
#include <unordered_set>

#include "form_chunk.h"
#include "pith/lossless/codec.h"
#include "record.h"

namespace pith::archive {
namespace {

void write_chunks(const IndexedFile& file, uint64_t& frame_end, ByteWriter& w) {
  w.varint(file.chunks.size());
  for (const Chunk& c : file.chunks) {
    w.u8(static_cast<uint8_t>(c.kind));
    w.varint(c.raw);
    w.varint((c.at - frame_end) / kAlign);
    w.varint(c.stored);
    if (c.kind == ChunkKind::kRef) {
      w.varint(c.ref_file);
      w.varint(c.ref_offset);
    }
    if (c.kind == ChunkKind::kForm) {
      const Bytes record = write_form_record(file.forms[c.form]);
      w.varint(record.size());
      w.bytes(record);
    }
    frame_end = c.at + frame_span(c.stored);
  }
}

Chunk read_chunk(ByteReader& r, uint64_t offset, uint64_t& frame_end,
                 std::vector<FormRecord>& forms) {
  Chunk c;
  c.offset = offset;
  c.kind = static_cast<ChunkKind>(r.u8());
  c.raw = r.varint();
  // Gaps between frames are positive, so frames cannot overlap or be shared.
  c.at = checked_add(frame_end, checked_mul(r.varint(), kAlign));
  c.stored = r.varint();
  frame_end = checked_add(c.at, frame_span(c.stored));
  if (c.raw == 0 || c.stored == 0) r.bad("an empty chunk");
  if (c.kind == ChunkKind::kRef) {
    const uint64_t file = r.varint();
    if (file > UINT32_MAX) r.bad("a reference to no file");
    c.ref_file = static_cast<uint32_t>(file);
    c.ref_offset = r.varint();
  } else if (c.kind == ChunkKind::kForm) {
    const ByteView record = r.bytes(r.varint());
    c.form = static_cast<uint32_t>(forms.size());
    forms.push_back(read_form_record(record));
    forms.back().info.bytes = form_bytes(c.stored, record.size());
  } else if (c.kind != ChunkKind::kData) {
    r.bad("unknown kind of chunk");
  } else if (c.raw > lossless::kMaxBlock) {
    r.bad("a chunk is too large");
  }
  return c;
}

IndexedFile read_file(ByteReader& r, uint64_t& frame_end, uint64_t index_at) {
  IndexedFile file;
  file.record = read_file_record(r.bytes(r.varint()));
  if (file.record.kind == EntryKind::kDirectory) {
    if (!file.record.tensors.empty()) r.bad("a directory has tensors");
    return file;
  }
  const FileEnd end = read_end(r.bytes(r.varint()));
  file.size = end.size;
  file.hash = end.hash;
  // Each frame takes at least one aligned header, so no more chunks than that can exist.
  const uint64_t n = r.count(4);
  if (n > index_at / kHeaderSize) r.bad("more chunks than the archive can hold");
  file.chunks.reserve(n);
  uint64_t offset = 0;
  for (uint64_t i = 0; i < n; ++i) {
    file.chunks.push_back(read_chunk(r, offset, frame_end, file.forms));
    offset = checked_add(offset, file.chunks.back().raw);
    if (frame_end > index_at) r.bad("a chunk beyond the end of the archive");
  }
  if (offset != file.size) r.bad("chunks that do not add up to their file");
  check_tensors(file.record, file.size);
  return file;
}

// References lead backwards and to coded bytes only, so that following one takes a single step.
void check_references(const Index& index) {
  std::vector<DataCover> covers;
  for (size_t f = 0; f < index.files.size(); ++f) {
    covers.emplace_back(index.files[f]);
    for (const Chunk& c : index.files[f].chunks) {
      if (c.kind != ChunkKind::kRef) continue;
      const uint64_t end = checked_add(c.ref_offset, c.raw);
      const bool earlier = c.ref_file < f || (c.ref_file == f && end <= c.offset);
      if (!earlier || !covers[c.ref_file].covers(c.ref_offset, c.raw)) {
        fail(ErrorKind::kData, "index: a reference in {} does not lead to stored bytes",
             index.files[f].record.path);
      }
    }
  }
}

}  // namespace

DataCover::DataCover(const IndexedFile& file) : chunks_(&file.chunks) {
  others_before_.reserve(file.chunks.size() + 1);
  others_before_.push_back(0);
  for (const Chunk& c : file.chunks) {
    others_before_.push_back(others_before_.back() +
                             (c.kind != ChunkKind::kData && c.kind != ChunkKind::kForm));
  }
}

bool DataCover::covers(uint64_t offset, uint64_t size) const {
  const auto& chunks = *chunks_;
  if (size == 0 || chunks.empty() || size > UINT64_MAX - offset) return false;
  if (offset + size > chunks.back().offset + chunks.back().raw) return false;
  const auto index_of = [&](uint64_t at) {
    return std::ranges::upper_bound(chunks, at, {}, &Chunk::offset) - chunks.begin() - 1;
  };
  const auto first = static_cast<size_t>(index_of(offset));
  const auto last = static_cast<size_t>(index_of(offset + size - 1));
  return others_before_[last + 1] == others_before_[first];
}

Bytes write_index(const Index& index) {
  Bytes out;
  ByteWriter w(out);
  const Bytes base = index.base ? write_base_record(*index.base) : Bytes();
  w.varint(base.size());
  w.bytes(base);
  w.varint(index.files.size());
  uint64_t frame_end = kHeaderSize;
  for (const IndexedFile& file : index.files) {
    const Bytes record = write_file_record(file.record);
    w.varint(record.size());
    w.bytes(record);
    if (file.record.kind == EntryKind::kDirectory) continue;
    const Bytes end = write_end({file.size, file.hash});
    w.varint(end.size());
    w.bytes(end);
    write_chunks(file, frame_end, w);
  }
  return out;
}

Index read_index(ByteView data, uint64_t index_at) {
  ByteReader r(data, "index");
  Index index;
  if (const uint64_t n = r.varint()) index.base = read_base_record(r.bytes(n));
  uint64_t frame_end = kHeaderSize;
  std::unordered_set<std::string> paths;
  for (uint64_t n = r.count(8); n > 0; --n) {
    index.files.push_back(read_file(r, frame_end, index_at));
    if (!paths.insert(index.files.back().record.path).second) r.bad("two files of the same path");
  }
  check_references(index);
  return index;
}

}  // namespace pith::archive
