#include "pith/archive/recover.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "form_chunk.h"
#include "pith/archive/source.h"
#include "pith/lossless/codec.h"
#include "read_range.h"

namespace pith::archive {
namespace {

// What the frames of one file that survived say about it.
struct Remains {
  std::optional<FileRecord> record;
  std::optional<FileEnd> end;
  std::vector<Chunk> chunks;
  std::vector<FormRecord> forms;
};

// Walks the archive from the front and collects whole frames.
class Scan {
 public:
  Scan(ByteView bytes, std::optional<uint32_t> id, uint64_t limit)
      : bytes_(bytes), id_(id), limit_(limit) {}

  void run() {
    for (uint64_t at = 0; at + kHeaderSize <= bytes_.size();) {
      const auto header = read_frame_header(bytes_.subspan(at));
      const uint64_t room = bytes_.size() - at - kHeaderSize;
      // Frames of an archive that is stored inside this one carry another id.
      const bool ours = header && (!id_ || *id_ == header->id) && header->stored <= room;
      if (ours && take(*header, at)) {
        id_ = header->id;
        at += std::min(frame_span(header->stored), bytes_.size() - at);
      } else {
        at += kAlign;
      }
    }
  }

  std::map<uint32_t, Remains> files;
  std::optional<BaseRecord> base;
  std::optional<Index> index;
  std::optional<uint32_t> id() const { return id_; }

 private:
  // False when the payload is damaged: the search goes on right behind the header.
  bool take(const FrameHeader& header, uint64_t at) {
    const ByteView payload = bytes_.subspan(at + kHeaderSize, header.stored);
    if (hash64(payload) != header.payload_hash) return false;
    try {
      keep(header, payload, at);
    } catch (const Error&) {
      // Whole, but not what this version can use.
    }
    return true;
  }

  void keep(const FrameHeader& header, ByteView payload, uint64_t at) {
    Remains* file = nullptr;
    switch (header.kind) {
      case FrameKind::kFile:
        files[header.file].record = read_file_record(unpack(payload, header, limit_));
        break;
      case FrameKind::kEnd:
        files[header.file].end = read_end(payload);
        break;
      case FrameKind::kBase:
        base = read_base_record(unpack(payload, header, limit_));
        break;
      case FrameKind::kIndex:
        index = read_index(unpack(payload, header, limit_), at);
        break;
      case FrameKind::kData:
      case FrameKind::kRef:
      case FrameKind::kForm:
        file = &files[header.file];
        if (const auto c = chunk(header, payload, at, file->forms)) file->chunks.push_back(*c);
        break;
    }
  }

  static std::optional<Chunk> chunk(const FrameHeader& header, ByteView payload, uint64_t at,
                                    std::vector<FormRecord>& forms) {
    Chunk c{header.offset, header.raw, at, header.stored, 0, 0, ChunkKind::kData};
    checked_add(c.offset, c.raw);
    if (c.raw == 0 || c.stored == 0) return std::nullopt;
    if (header.kind == FrameKind::kData && c.raw > lossless::kMaxBlock) return std::nullopt;
    if (header.kind == FrameKind::kRef) {
      const Reference reference = read_reference(payload);
      c.kind = ChunkKind::kRef;
      c.ref_file = reference.file;
      c.ref_offset = reference.offset;
      checked_add(c.ref_offset, c.raw);
    }
    if (header.kind == FrameKind::kForm) {
      c.kind = ChunkKind::kForm;
      c.form = static_cast<uint32_t>(forms.size());
      forms.push_back(read_form_payload(payload).record);
    }
    return c;
  }

  ByteView bytes_;
  std::optional<uint32_t> id_;
  uint64_t limit_;
};

Chunk lost_chunk(uint64_t offset, uint64_t end) {
  return {offset, end - offset, 0, 0, 0, 0, ChunkKind::kLost};
}

// One file from what is left of it. Ranges that no chunk covers are marked as lost.
IndexedFile rebuild(uint32_t number, Remains& remains, std::vector<std::string>& notes) {
  IndexedFile file;
  if (remains.record) {
    file.record = std::move(*remains.record);
  } else {
    file.record.path = fmt::format("lost-name-{}", number);
    file.record.format = "bytes";
    notes.push_back(fmt::format("the name and tensor table of file {} are lost", number));
  }
  file.ended = remains.end.has_value() || file.record.kind == EntryKind::kDirectory;
  if (remains.end) file.hash = remains.end->hash;
  file.forms = std::move(remains.forms);
  std::ranges::stable_sort(remains.chunks, {}, &Chunk::offset);
  uint64_t at = 0;
  for (const Chunk& c : remains.chunks) {
    if (c.offset < at) continue;  // overlaps what is there: not written by Pith
    if (c.offset > at) file.chunks.push_back(lost_chunk(at, c.offset));
    file.chunks.push_back(c);
    at = c.offset + c.raw;
  }
  uint64_t size = std::max(at, file.record.size.value_or(0));
  if (remains.end) size = std::max(size, remains.end->size);
  if (!file.record.tensors.empty()) {
    const io::TensorRegion& last = file.record.tensors.back().region;
    size = std::max(size, last.offset + last.size);
  }
  if (size > at) file.chunks.push_back(lost_chunk(at, size));
  file.size = size;
  return file;
}

void lose(Chunk& c) { c = lost_chunk(c.offset, c.offset + c.raw); }

// File numbers are positions in the archive; files that left nothing at all leave a gap that
// references must not fall into.
Index rebuild_index(Scan& scan, std::vector<std::string>& notes, std::vector<uint32_t>& numbers) {
  Index index;
  index.base = scan.base;
  std::map<uint32_t, uint32_t> places;
  for (auto& [number, remains] : scan.files) {
    places[number] = static_cast<uint32_t>(index.files.size());
    numbers.push_back(number);
    index.files.push_back(rebuild(number, remains, notes));
  }
  for (IndexedFile& file : index.files) {
    for (Chunk& c : file.chunks) {
      if (c.kind != ChunkKind::kRef) continue;
      const auto to = places.find(c.ref_file);
      if (to == places.end())
        lose(c);
      else
        c.ref_file = to->second;
    }
  }
  return index;
}

// References whose bytes are not there are lost themselves.
void drop_dangling(Index& index) {
  std::vector<DataCover> covers;
  for (const IndexedFile& file : index.files) covers.emplace_back(file);
  for (IndexedFile& file : index.files) {
    for (Chunk& c : file.chunks) {
      const bool dangling =
          c.kind == ChunkKind::kRef && !covers[c.ref_file].covers(c.ref_offset, c.raw);
      if (dangling) lose(c);
    }
  }
}

// With an index that survived: which of its chunks did not.
void drop_damaged(Index& index, ByteView bytes, uint32_t id) {
  for (size_t f = 0; f < index.files.size(); ++f) {
    for (Chunk& c : index.files[f].chunks) {
      if (c.kind == ChunkKind::kLost) continue;
      const bool there = c.at <= bytes.size() && frame_span(c.stored) <= bytes.size() - c.at;
      const auto header = there ? read_frame_header(bytes.subspan(c.at)) : std::nullopt;
      const bool whole =
          header && header->id == id && header->file == f && header->offset == c.offset &&
          header->raw == c.raw && header->stored == c.stored &&
          hash64(bytes.subspan(c.at + kHeaderSize, c.stored)) == header->payload_hash;
      if (!whole) lose(c);
    }
  }
}

void make_paths_unique(Index& index, std::vector<std::string>& notes) {
  std::map<std::string, int> seen;
  for (IndexedFile& file : index.files) {
    const int times = seen[file.record.path]++;
    if (times == 0) continue;
    notes.push_back(fmt::format("a second file was called {}", file.record.path));
    file.record.path = fmt::format("{}.{}", file.record.path, times);
  }
}

bool touches_lost(const Archive& archive, const TensorInfo& t) {
  for (const auto& [first, last] : archive.lost(t.file)) {
    if (t.region.size > 0 && first < t.region.offset + t.region.size && last > t.region.offset) {
      return true;
    }
  }
  return false;
}

void sort_out(Recovery& r) {
  const Archive& archive = r.archive;
  for (size_t f = 0; f < archive.files().size(); ++f) {
    const auto lost = archive.lost(f);
    for (const auto& [first, last] : lost) r.lost_bytes += last - first;
    const bool whole = lost.empty() && archive.impl().stored[f].ended;
    (whole ? r.whole_files : r.damaged_files).push_back(f);
    if (lost.empty() && !whole) {
      r.notes.push_back(fmt::format("{}: where it ends is lost", archive.files()[f].path));
    }
    for (const auto& [first, last] : lost) {
      r.notes.push_back(
          fmt::format("{}: bytes {}..{} are lost", archive.files()[f].path, first, last));
    }
  }
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    const bool damaged = touches_lost(archive, archive.tensors()[t]);
    (damaged ? r.damaged_tensors : r.whole_tensors).push_back(t);
  }
}

Recovery recover_from(const std::shared_ptr<Archive::Impl>& archive) {
  std::vector<std::string> notes;
  std::optional<uint32_t> id;
  try {
    archive->header = read_header(archive->bytes);
    id = archive->header.id;
  } catch (const Error& e) {
    notes.push_back(e.what());
  }
  Scan scan(archive->bytes, id, metadata_limit(archive->options));
  scan.run();
  if (!scan.id()) {
    fail(ErrorKind::kData, "{}: nothing of an archive is found", archive->name);
  }
  archive->header.id = *scan.id();
  archive->recovered = true;
  const bool survived = scan.index.has_value();
  Index index;
  if (survived) {
    index = std::move(*scan.index);
    drop_damaged(index, archive->bytes, *scan.id());
  } else {
    notes.push_back("the index is lost; it was rebuilt from the frames");
    std::vector<uint32_t> numbers;
    index = rebuild_index(scan, notes, numbers);
    archive->numbers = std::move(numbers);
    make_paths_unique(index, notes);
  }
  drop_dangling(index);
  archive->adopt(std::move(index));
  Recovery r{Archive(archive), survived, {}, {}, {}, {}, 0, std::move(notes)};
  sort_out(r);
  return r;
}

}  // namespace

Recovery recover(const std::filesystem::path& path, OpenOptions options) {
  auto archive = map_archive(path, std::move(options));
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) {
    archive->chain.emplace_back(status.st_dev, status.st_ino);
  }
  return recover_from(archive);
}

Recovery recover_memory(ByteView bytes, OpenOptions options) {
  auto archive = std::make_shared<Archive::Impl>();
  archive->name = "archive in memory";
  archive->bytes = bytes;
  archive->options = std::move(options);
  return recover_from(archive);
}

}  // namespace pith::archive
