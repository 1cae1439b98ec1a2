#include "pith/archive/reader.h"

#include <sys/stat.h>

#include <algorithm>

#include "pith/base/parallel.h"
#include "read_range.h"

namespace pith::archive {
namespace {

namespace fs = std::filesystem;

Index load_index(Archive::Impl& archive) {
  const ByteView file = archive.bytes;
  archive.header = read_header(file);
  const Footer footer = read_footer(file);
  const auto header = read_frame_header(file.subspan(footer.index_at));
  if (!header || header->kind != FrameKind::kIndex ||
      header->stored != footer.index_size - kHeaderSize || header->id != archive.header.id ||
      footer.id != archive.header.id) {
    fail(ErrorKind::kData, "the archive's index is damaged; see what can be recovered");
  }
  const ByteView payload = file.subspan(footer.index_at + kHeaderSize, header->stored);
  if (hash64(payload) != header->payload_hash) {
    fail(ErrorKind::kData, "the index's checksum does not match; see what can be recovered");
  }
  return read_index(unpack(payload, *header, metadata_limit(archive.options)), footer.index_at);
}

Archive finish_open(const std::shared_ptr<Archive::Impl>& archive) {
  try {
    archive->adopt(load_index(*archive));
  } catch (const Error& e) {
    throw e.in(archive->name);
  }
  return Archive(archive);
}

uint64_t stored_bytes(const std::vector<Chunk>& chunks) {
  uint64_t sum = 0;
  for (const Chunk& c : chunks) {
    if (c.kind != ChunkKind::kLost) sum += frame_span(c.stored);
  }
  return sum;
}

std::string quoted_names(const Archive::Impl& archive, const std::vector<size_t>& which) {
  std::string out;
  for (const size_t t : which) {
    if (!out.empty()) out += ", ";
    if (out.size() > 300) return out + "…";
    const TensorInfo& tensor = archive.tensors[t];
    out += fmt::format("'{}:{}'", archive.files[tensor.file].path, tensor.region.name);
  }
  return out;
}

// Names that contain what was asked for, or share its end: enough to see a wrong prefix.
std::vector<size_t> similar(const Archive::Impl& archive, std::string_view name) {
  std::vector<size_t> out;
  const std::string_view last = name.substr(std::min(name.size(), name.rfind('.') + 1));
  for (size_t t = 0; t < archive.tensors.size() && out.size() < 5; ++t) {
    const std::string& other = archive.tensors[t].region.name;
    if (other.find(name) != std::string::npos || (!last.empty() && other.ends_with(last))) {
      out.push_back(t);
    }
  }
  return out;
}

}  // namespace

uint64_t metadata_limit(const OpenOptions& options) {
  // Tables in memory take several times the bytes that describe them.
  return std::max<uint64_t>(options.memory_limit / 32, 1 << 16);
}

void Archive::Impl::adopt(Index index) {
  base_record = std::move(index.base);
  for (size_t f = 0; f < index.files.size(); ++f) {
    IndexedFile& from = index.files[f];
    FileRecord& record = from.record;
    FileInfo info{record.path,
                  record.kind,
                  record.mode,
                  from.size,
                  from.hash,
                  std::move(record.format),
                  std::move(record.metadata),
                  std::move(record.notes),
                  tensors.size(),
                  record.tensors.size(),
                  stored_bytes(from.chunks),
                  from.chunks.size()};
    StoredFile place{std::move(from.chunks), {}, std::move(from.forms), from.ended};
    for (TensorRecord& t : record.tensors) {
      if (t.base && t.region.size > 0) {
        place.based.push_back({t.region.offset, t.region.size, *t.base});
      }
      tensors.push_back({f, std::move(t.region), t.base.has_value(), std::nullopt});
    }
    files.push_back(std::move(info));
    stored.push_back(std::move(place));
  }
  for (size_t t = 0; t < tensors.size(); ++t) {
    by_name[tensors[t].region.name].push_back(t);
    tensors[t].form = form_info(*this, tensors[t]);
  }
}

std::shared_ptr<Archive::Impl> map_archive(const fs::path& path, OpenOptions options) {
  auto archive = std::make_shared<Archive::Impl>();
  archive->name = path.string();
  archive->path = path;
  archive->mapping = std::make_unique<MappedFile>(path);
  archive->bytes = archive->mapping->bytes();
  archive->options = std::move(options);
  return archive;
}

Archive open_in_chain(const fs::path& path, OpenOptions options, Chain chain) {
  auto archive = map_archive(path, std::move(options));
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) chain.emplace_back(status.st_dev, status.st_ino);
  archive->chain = std::move(chain);
  return finish_open(archive);
}

Archive Archive::open(const fs::path& path, OpenOptions options) {
  return open_in_chain(path, std::move(options), {});
}

Archive Archive::open_memory(ByteView bytes, OpenOptions options) {
  auto archive = std::make_shared<Archive::Impl>();
  archive->name = "archive in memory";
  archive->bytes = bytes;
  archive->options = std::move(options);
  return finish_open(archive);
}

bool Archive::is_archive(ByteView beginning) { return has_magic(beginning); }

const std::vector<FileInfo>& Archive::files() const { return impl_->files; }
const std::vector<TensorInfo>& Archive::tensors() const { return impl_->tensors; }
std::string_view Archive::name() const { return impl_->name; }
uint64_t Archive::stored_size() const { return impl_->bytes.size(); }
std::optional<BaseRecord> Archive::base_record() const { return impl_->base_record; }
void Archive::open_base() const {
  if (impl_->base_record) impl_->need_base();
}

uint64_t Archive::raw_size() const {
  uint64_t sum = 0;
  for (const FileInfo& f : impl_->files) sum += f.size;
  return sum;
}

std::pair<uint16_t, uint16_t> Archive::version() const {
  return {impl_->header.major, impl_->header.minor};
}

Hash128 Archive::content_hash() const {
  std::vector<FileDigest> digests;
  for (const FileInfo& f : impl_->files) {
    if (f.kind == EntryKind::kRegular) digests.push_back({f.path, f.size, f.hash});
  }
  return archive::content_hash(std::move(digests));
}

uint32_t Archive::base_depth() const {
  return impl_->base_record ? impl_->base_record->depth + 1 : 0;
}

size_t Archive::find(std::string_view name) const {
  const auto at = impl_->by_name.find(name);
  if (at != impl_->by_name.end() && at->second.size() == 1) return at->second.front();
  if (at != impl_->by_name.end()) {
    fail(ErrorKind::kUsage, "{}: '{}' is in several files, one of {}", impl_->name, name,
         quoted_names(*impl_, at->second));
  }
  for (size_t colon = name.find(':'); colon != name.npos; colon = name.find(':', colon + 1)) {
    const auto tensor = impl_->by_name.find(name.substr(colon + 1));
    if (tensor == impl_->by_name.end()) continue;
    for (const size_t t : tensor->second) {
      if (impl_->files[impl_->tensors[t].file].path == name.substr(0, colon)) return t;
    }
  }
  const auto near = similar(*impl_, name);
  if (near.empty()) fail(ErrorKind::kUsage, "{}: has no tensor '{}'", impl_->name, name);
  fail(ErrorKind::kUsage, "{}: has no tensor '{}'; there are {}", impl_->name, name,
       quoted_names(*impl_, near));
}

size_t Archive::find_file(std::string_view path) const {
  const auto at = std::ranges::find(impl_->files, path, &FileInfo::path);
  if (at == impl_->files.end()) {
    fail(ErrorKind::kUsage, "{}: has no file '{}'", impl_->name, path);
  }
  return static_cast<size_t>(at - impl_->files.begin());
}

void Archive::read(size_t file, uint64_t offset, MutableByteView out) const {
  read_range(*impl_, file, offset, out, ReadMode::kAgain);
}

void Archive::read_tensor(size_t tensor, MutableByteView out, int threads) const {
  const TensorInfo& t = impl_->tensors.at(tensor);
  if (out.size() != t.region.size) {
    fail(ErrorKind::kUsage, "{}: {} has {} bytes, not {}", impl_->name, t.region.name,
         t.region.size, out.size());
  }
  if (out.empty()) return;
  // In parallel by chunks; a reference is one chunk and read in one go.
  const auto& chunks = impl_->stored[t.file].chunks;
  const uint64_t end = t.region.offset + t.region.size;
  const size_t first = chunk_at(impl_->stored[t.file], t.region.offset);
  const size_t last = chunk_at(impl_->stored[t.file], end - 1);
  parallel_for(thread_count(threads), last - first + 1, [&](size_t i) {
    const Chunk& c = chunks[first + i];
    const uint64_t from = std::max(c.offset, t.region.offset);
    const uint64_t to = std::min(c.offset + c.raw, end);
    read_range(*impl_, t.file, from, out.subspan(from - t.region.offset, to - from),
               ReadMode::kAgain);
  });
}

Bytes Archive::read_tensor(size_t tensor, int threads) const {
  const TensorInfo& t = impl_->tensors.at(tensor);
  if (t.region.size > impl_->options.memory_limit) {
    fail(ErrorKind::kLimit, "{}: {} has {} bytes, above the memory limit of {}", impl_->name,
         t.region.name, t.region.size, impl_->options.memory_limit);
  }
  Bytes out(t.region.size);
  read_tensor(tensor, out, threads);
  return out;
}

uint64_t Archive::row_bytes(size_t tensor) const {
  const io::TensorRegion& t = impl_->tensors.at(tensor).region;
  const uint64_t rows = t.shape.empty() ? 1 : t.shape.front();
  return rows == 0 ? 0 : t.size / rows;
}

void Archive::read_rows(size_t tensor, uint64_t first, uint64_t last, MutableByteView out) const {
  const TensorInfo& t = impl_->tensors.at(tensor);
  const uint64_t rows = t.region.shape.empty() ? 1 : t.region.shape.front();
  const uint64_t row = row_bytes(tensor);
  if (first > last || last > rows || (rows > 0 && t.region.size % rows != 0)) {
    fail(ErrorKind::kUsage, "{}: {} has {} rows, not {}..{}", impl_->name, t.region.name, rows,
         first, last);
  }
  if (out.size() != (last - first) * row) {
    fail(ErrorKind::kUsage, "{}: rows {}..{} of {} have {} bytes, not {}", impl_->name, first, last,
         t.region.name, (last - first) * row, out.size());
  }
  read_range(*impl_, t.file, t.region.offset + first * row, out, ReadMode::kAgain);
}

form::FormPtr Archive::form(size_t tensor, bool checked) const {
  const TensorInfo& t = impl_->tensors.at(tensor);
  if (!t.form) return nullptr;
  try {
    const StoredForm stored = *stored_form(*impl_, t, checked);
    form::FormPtr form = form::read(stored.bytes.bytes, impl_);
    if (!is_matrix_of(form->shape(), t.region)) fail(ErrorKind::kData, "a form of another shape");
    return form;
  } catch (const Error& e) {
    throw e.in(fmt::format("{}: {}", impl_->name, t.region.name));
  }
}

std::vector<std::pair<uint64_t, uint64_t>> Archive::lost(size_t file) const {
  std::vector<std::pair<uint64_t, uint64_t>> out;
  for (const Chunk& c : impl_->stored.at(file).chunks) {
    if (c.kind != ChunkKind::kLost) continue;
    if (!out.empty() && out.back().second == c.offset) {
      out.back().second += c.raw;
    } else {
      out.emplace_back(c.offset, c.offset + c.raw);
    }
  }
  return out;
}

}  // namespace pith::archive
