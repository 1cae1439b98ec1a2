// Where the bytes of an archive's files come from.
//
// A source is one file to be stored: mapped from disk, read from a pipe, or taken from an archive
// that is already there (to change its level or its base without a detour over the disk).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/archive/stored_form.h"
#include "pith/base/buffer.h"
#include "pith/base/bytes.h"
#include "pith/io/layout.h"

namespace pith::archive {

class Archive;

class Source {
 public:
  virtual ~Source() = default;

  // Called once, before any data are taken.
  virtual io::Layout layout() = 0;
  // No value: not known before the end (a pipe).
  virtual std::optional<uint64_t> size() const = 0;
  // The n bytes at `offset`; fewer only where the source ends. A source that is not rereadable is
  // asked for consecutive ranges only. Called by one thread at a time.
  virtual Buffer get(uint64_t offset, uint64_t n) = 0;
  // Whether get() may go back: needed to verify that two equal-looking ranges are equal.
  virtual bool rereadable() const { return true; }
  // The range is not needed soon. May run while another thread is in get().
  virtual void release(uint64_t /*offset*/, uint64_t /*n*/) {}
  // The writer has stored the whole file; throws ErrorKind::kIo when it changed meanwhile. get()
  // may still be called afterwards.
  virtual void finish() {}
  // The form that a tensor of the layout is in, where the source has one; it is stored as it is.
  virtual std::optional<StoredForm> form(const io::TensorRegion& /*tensor*/) { return {}; }
  virtual bool has_forms() const { return false; }
  virtual uint32_t mode() const { return 0644; }  // permission bits, 0777 at most
};

// A regular file, mapped while it is being read. `layout` overrides what io::describe() would find
// (external data of ONNX models).
std::shared_ptr<Source> mapped_source(std::filesystem::path path,
                                      std::optional<io::Layout> layout = {});

// Bytes in memory, which must outlive the source; io::describe() with `name` gives the layout
// unless there is one.
std::shared_ptr<Source> memory_source(ByteView data, std::string name,
                                      std::optional<io::Layout> layout = {});

// A pipe, socket or terminal, read to its end; the descriptor stays open. Plain bytes.
std::shared_ptr<Source> stream_source(int fd);

// A regular file of an open archive, with its tensors.
std::shared_ptr<Source> archive_source(Archive archive, size_t file);

// The GGUF file of another source as it would be with f16 elements in those tensors of blocks that
// `wanted` takes, so that they can be stored in any form and come back near it. The source itself
// where there are none, where it is no little-endian GGUF file, or where Pith cannot decode a
// tensor.
std::shared_ptr<Source> with_elements(
    std::shared_ptr<Source> source,
    const std::function<bool(const io::TensorRegion& tensor)>& wanted);

// One entry of an archive to be written.
struct Input {
  std::string path;                // in the archive: relative, '/' between names (check_path())
  std::shared_ptr<Source> source;  // null: a directory
  uint32_t mode = 0755;            // of a directory
};

// Files and directories as a user names them, ready to be stored: a file under its own name, a
// directory with all that is below it, sorted by path bytes, symbolic links followed. A shard index
// (model.safetensors.index.json) brings its shards, an ONNX model its external data. A file that
// is reached twice is stored once.
// Throws kIo for what is missing or no regular file (sockets, devices, link loops), kUsage when two
// different inputs would get the same path.
std::vector<Input> expand_inputs(std::span<const std::filesystem::path> paths);

// All regular files of an archive and its directories, to write it again.
std::vector<Input> archive_inputs(const Archive& archive);

// Throws kData unless `path` is safe to create below any folder: relative, no empty, "." or ".."
// component, no NUL, no backslash, at most 4096 bytes.
void check_path(std::string_view path);

}  // namespace pith::archive
