// Everything in an archive checked: frames, padding, records, chunks, content hashes.
#include <algorithm>

#include "read_range.h"
#include "stream_out.h"

namespace pith::archive {
namespace {

class Verifier {
 public:
  Verifier(const Archive::Impl& archive, int threads, const Progress& progress)
      : archive_(archive), threads_(threads), progress_(progress) {
    for (const FileInfo& f : archive.files) total_ += f.size;
    report_.stored = archive.bytes.size();
  }

  VerifyReport run() {
    frames();
    for (size_t f = 0; f < archive_.files.size(); ++f) {
      ++report_.files;
      if (archive_.files[f].kind == EntryKind::kRegular) file(f);
    }
    return std::move(report_);
  }

 private:
  // Data frames are checked when they are decoded; here it is that frames follow each other
  // without anything between them, and those that only recovery reads. Opening has checked the
  // index frame except for its padding.
  void frames() {
    const uint64_t end = archive_.bytes.size() - (archive_.recovered ? 0 : kHeaderSize);
    for (uint64_t at = kHeaderSize; at < end;) {
      const auto header = whole_frame(at, end);
      if (!header) {
        problem(fmt::format("{}: the frame at byte {} is damaged", archive_.name, at));
        do at += kAlign;
        while (at < end && !whole_frame(at, end));
        continue;
      }
      ++report_.frames;
      payload(*header, at);
      at += frame_span(header->stored);
    }
  }

  // A frame of this archive that lies before `end` with its padding.
  std::optional<FrameHeader> whole_frame(uint64_t at, uint64_t end) const {
    const auto header = read_frame_header(archive_.bytes.subspan(at, end - at));
    const bool whole = header && header->id == archive_.header.id && header->stored <= end - at &&
                       frame_span(header->stored) <= end - at;
    return whole ? header : std::nullopt;
  }

  void payload(const FrameHeader& header, uint64_t at) {
    const ByteView span = archive_.bytes.subspan(at, frame_span(header.stored));
    const ByteView body = span.subspan(kHeaderSize, header.stored);
    const ByteView padding = span.subspan(kHeaderSize + header.stored);
    const auto where = [&] {
      return fmt::format("{}: the {} frame at byte {}", archive_.name, kind_name(header.kind), at);
    };
    if (std::ranges::any_of(padding, [](uint8_t b) { return b != 0; })) {
      problem(where() + " is followed by bytes that are not zero");
    }
    if (kind_name(header.kind) == "unknown" && !(header.flags & kFrameIgnorable)) {
      problem(where() + " must not be skipped, but this Pith does not know it");
    }
    if (header.kind != FrameKind::kData && hash64(body) != header.payload_hash) {
      problem(where() + " does not match its checksum");
    }
  }

  void file(size_t f) {
    const FileInfo& info = archive_.files[f];
    Hasher128 hasher;
    bool whole = archive_.stored[f].ended;
    decode_in_order(archive_, f, threads_, true, [&](DecodedRun& run) {
      if (run.problem.empty()) {
        hasher.update(run.bytes);
      } else {
        whole = false;
        problem(run.problem, f, run.offset, run.size);
      }
      report(progress_, report_.raw += run.size, total_);
    });
    if (whole && hasher.digest() != info.hash) {
      problem(fmt::format("{}: {}: the content hash is {} instead of {}", archive_.name, info.path,
                          hasher.digest().hex(), info.hash.hex()),
              f, 0, info.size);
    }
  }

  void problem(std::string what) { report_.problems.push_back({std::move(what), {}}); }

  void problem(std::string what, size_t f, uint64_t offset, uint64_t size) {
    problem(std::move(what));
    const FileInfo& info = archive_.files[f];
    for (size_t t = info.first_tensor; t < info.first_tensor + info.tensor_count; ++t) {
      const io::TensorRegion& region = archive_.tensors[t].region;
      const bool apart = region.offset + region.size <= offset || region.offset >= offset + size;
      if (!apart) report_.problems.back().tensors.push_back(t);
    }
  }

  const Archive::Impl& archive_;
  int threads_;
  const Progress& progress_;
  VerifyReport report_;
  uint64_t total_ = 0;
};

}  // namespace

VerifyReport Archive::verify(int threads, const Progress& progress) const {
  return Verifier(*impl_, threads, progress).run();
}

TensorDetail Archive::detail(size_t tensor) const {
  const TensorInfo& t = impl_->tensors.at(tensor);
  TensorDetail detail;
  if (t.region.size == 0) return detail;
  const uint64_t begin = t.region.offset, end = begin + t.region.size;
  std::vector<std::pair<std::string, uint64_t>> ways;  // with the tensor's raw bytes in them
  const auto& chunks = impl_->stored[t.file].chunks;
  for (size_t i = chunk_at(impl_->stored[t.file], begin); i < chunks.size(); ++i) {
    const Chunk& c = chunks[i];
    if (c.offset >= end) break;
    if (c.kind == ChunkKind::kRef) {
      detail.shared += std::min(end, c.offset + c.raw) - std::max(begin, c.offset);
    }
    if (c.kind == ChunkKind::kForm) {
      ++detail.blocks;
      detail.stored += c.stored;
      ways.emplace_back(impl_->stored[t.file].forms[c.form].info.expression, c.raw);
    }
    if (c.kind != ChunkKind::kData) continue;
    for (const Block& b : read_blocks(chunk_frame(*impl_, t.file, c).payload, c.raw)) {
      const uint64_t first = std::max(begin, c.offset + b.offset);
      const uint64_t last = std::min(end, c.offset + b.offset + b.raw);
      if (first >= last) continue;
      ++detail.blocks;
      detail.stored += (b.coded.size() * (last - first) + b.raw - 1) / b.raw;
      const std::string way = lossless::explain(b.coded);
      auto at = std::ranges::find(ways, way, &std::pair<std::string, uint64_t>::first);
      if (at == ways.end()) at = ways.insert(ways.end(), {way, 0});
      at->second += last - first;
    }
  }
  std::ranges::stable_sort(ways, std::greater{}, &std::pair<std::string, uint64_t>::second);
  for (auto& [way, bytes] : ways) detail.explain.push_back(std::move(way));
  return detail;
}

}  // namespace pith::archive
