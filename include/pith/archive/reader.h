// Reads a .pith archive: opening costs its header, footer and index; every tensor, row range or
// byte range can then be had alone.
//
//   const auto archive = Archive::open("model.pith");
//   Bytes weights = archive.read_tensor(archive.find("lm_head.weight"));
//
// An Archive is a cheap, shared handle; its methods are const and may run in many threads.
// Archives are not trusted: whatever a damaged or hostile one says, the result is a pith::Error
// (kData; kLimit above the memory limit; kBase when its base is missing or another one) or the
// exact bytes that were stored: those of the original file, but for tensors in a form, which read
// as what the form decodes to. Every chunk is checked against its checksum before it is used.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pith/archive/base.h"
#include "pith/archive/stored_form.h"
#include "pith/base/bytes.h"
#include "pith/base/dtype.h"
#include "pith/base/hash.h"
#include "pith/base/progress.h"
#include "pith/io/layout.h"

namespace pith::archive {

struct OpenOptions {
  // Where the base of a delta is: archives or original files or folders; with a chain, those of all
  // links. Else it is looked for beside the archive, under the name that the archive recorded.
  std::vector<std::filesystem::path> bases = {};
  // Bytes that one read may allocate (not what the caller passes in).
  uint64_t memory_limit = uint64_t{8} << 30;
  // Also check the decoded bytes of every chunk that is decoded whole.
  bool verify_raw = true;
};

enum class EntryKind : uint8_t { kRegular = 0, kDirectory = 1 };

struct FileInfo {
  std::string path;
  EntryKind kind = EntryKind::kRegular;
  uint32_t mode = 0644;
  uint64_t size = 0;
  Hash128 hash;        // XXH3-128 of the original content
  std::string format;  // as in io::Layout
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::string> notes;
  size_t first_tensor = 0, tensor_count = 0;  // in Archive::tensors()
  uint64_t stored = 0;  // bytes of its data frames, headers and padding included
  uint64_t chunks = 0;
};

struct TensorInfo {
  size_t file = 0;
  io::TensorRegion region;
  bool has_base = false;
  std::optional<FormInfo> form = {};  // no value: stored losslessly
};

struct TensorDetail {
  uint64_t stored = 0;  // its share of the coded blocks
  uint64_t shared = 0;  // raw bytes that refer to equal ones elsewhere in the archive
  uint64_t blocks = 0;
  std::vector<std::string> explain;  // distinct ways its blocks are coded, most bytes first
};

struct VerifyProblem {
  std::string what;             // "model.safetensors: bytes 0..1048576: checksum does not match"
  std::vector<size_t> tensors;  // touched by it
};
struct VerifyReport {
  uint64_t files = 0, frames = 0, raw = 0, stored = 0;
  std::vector<VerifyProblem> problems;
  bool ok() const { return problems.empty(); }
};

struct ExtractOptions {
  int threads = 0;
  bool overwrite = false;
  Progress progress = {};
};

class Archive {
 public:
  static Archive open(const std::filesystem::path& path, OpenOptions options = {});
  // The bytes must outlive the archive. Only options.bases are looked at for a base.
  static Archive open_memory(ByteView bytes, OpenOptions options = {});
  // True when the bytes begin as an archive does.
  static bool is_archive(ByteView beginning);

  const std::vector<FileInfo>& files() const;
  // Of all files, in file order and by ascending offset.
  const std::vector<TensorInfo>& tensors() const;
  std::string_view name() const;  // of the archive, for messages
  uint64_t stored_size() const;
  uint64_t raw_size() const;
  std::pair<uint16_t, uint16_t> version() const;
  Hash128 content_hash() const;
  std::optional<BaseRecord> base_record() const;
  uint32_t base_depth() const;  // 0: stands alone
  void open_base() const;       // now rather than at the first read that needs it

  // The tensor called `name`, or "file:name" where the same name is in several files. Throws kUsage
  // with the candidates (or the nearest names) when there is none or more than one.
  size_t find(std::string_view name) const;
  size_t find_file(std::string_view path) const;

  // Fills `out` with the bytes of a file from `offset` on; decodes only the blocks it needs.
  void read(size_t file, uint64_t offset, MutableByteView out) const;
  void read_tensor(size_t tensor, MutableByteView out, int threads = 1) const;
  Bytes read_tensor(size_t tensor, int threads = 1) const;
  // Rows first <= r < last of the outermost dimension. row_bytes() is their size.
  void read_rows(size_t tensor, uint64_t first, uint64_t last, MutableByteView out) const;
  uint64_t row_bytes(size_t tensor) const;
  // The form that a tensor is stored in, which computes on the archive's own bytes and keeps them
  // mapped (of open_memory(): its bytes must outlive the form); null when the tensor is stored
  // losslessly. Its rows are some first dimensions. `checked`: its bytes are first compared with
  // their checksum, which reads them all; without, a form of damaged bytes may give wrong numbers.
  // read_tensor() gives the same elements, rounded to the tensor's type.
  form::FormPtr form(size_t tensor, bool checked = true) const;

  // Whole files, streamed; the content hash is checked before the file appears under its name.
  void extract_file(size_t file, const std::filesystem::path& target,
                    const ExtractOptions& options = {}) const;
  void extract_file(size_t file, const std::function<void(ByteView)>& sink,
                    const ExtractOptions& options = {}) const;
  // All entries below `folder`, which is created. Never leaves it, never follows a link in it.
  void extract_all(const std::filesystem::path& folder, const ExtractOptions& options = {}) const;

  // Reads and decodes everything, and compares every checksum and file hash.
  VerifyReport verify(int threads = 0, const Progress& progress = {}) const;
  TensorDetail detail(size_t tensor) const;

  // Byte ranges of a file that damage has destroyed; only archives from recover() have any.
  std::vector<std::pair<uint64_t, uint64_t>> lost(size_t file) const;

  struct Impl;  // private to src/archive
  explicit Archive(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace pith::archive
