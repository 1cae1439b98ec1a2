// Writes a .pith archive, front to back in one pass with bounded memory, so that a pipe works.
//
//   auto inputs = expand_inputs(paths);
//   WriteReport report = write_archive(inputs, "model.pith", {.level = Level::kDefault});
//   write_archive(inputs, "small.pith", {.forms = {parse_form_rule("uniform(4, group=64)")}});
//
// The same inputs and options give the same bytes on every number of threads.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pith/archive/base.h"
#include "pith/archive/source.h"
#include "pith/archive/stored_form.h"
#include "pith/base/hash.h"
#include "pith/base/progress.h"
#include "pith/lossless/codec.h"

namespace pith::archive {

struct WriteOptions {
  lossless::Level level = lossless::Level::kDefault;
  int threads = 0;         // 0: as many as the process may run on
  bool overwrite = false;  // of an existing target
  // Tensors with the same name, type and shape there are stored as differences when that is
  // smaller.
  std::shared_ptr<const Base> base = {};
  // Which tensors are stored in a compressed form, with losses unless the form has none; the last
  // rule that takes a tensor decides. Tensors whose elements the form cannot hold (NaN, infinity)
  // stay lossless, which the report says. A form that a source has already is kept whatever the
  // rules say. Such tensors have no base.
  std::vector<FormRule> forms = {};
  // Gives the form that was fitted to a tensor beforehand, by the path of its file in the archive;
  // null: the rules decide. Asked once for each tensor, before its file is written.
  std::function<form::FormPtr(std::string_view path, const io::TensorRegion& tensor)> fitted = {};
  Progress progress = {};
};

struct TensorReport {
  std::string name;
  DType dtype = DType::kBytes;
  std::vector<uint64_t> shape;
  uint64_t raw = 0;
  uint64_t stored = 0;    // its share of coded blocks; 0 when it is equal to something earlier
  uint64_t shared = 0;    // raw bytes that are a reference to equal bytes stored earlier
  bool has_base = false;  // a base tensor was found (not that it was of use)
  std::optional<FormInfo> form = {};  // no value: lossless
};

struct FileReport {
  std::string path, format;
  uint64_t raw = 0;
  uint64_t stored = 0;  // frames of this file with headers and padding
  Hash128 hash;         // XXH3-128 of the file as it reads: the original, but for tensors in forms
  std::vector<std::string> notes;
  std::vector<TensorReport> tensors;
};

struct WriteReport {
  std::vector<FileReport> files;
  uint64_t raw = 0, stored = 0;  // whole input, whole archive
  uint64_t shared = 0;           // raw bytes stored as references to equal ones
  uint64_t forms = 0;            // tensors stored in a form
  Hash128 content_hash;
  // Seconds; reading, hashing and writing are serial stages, coding is summed over the threads.
  double reading = 0, hashing = 0, coding = 0, writing = 0;
  double wall = 0, cpu = 0;
};

// Receives the archive piece by piece; throws to stop.
using ByteSink = std::function<void(ByteView)>;
// Writes to an open descriptor (standard output, a socket).
ByteSink fd_sink(int fd);

// The file appears under its name only when it is complete. Throws kIo (disk, permission, exists
// already, an input that changed), kUsage (no input, unsafe or equal paths, a form that there is
// not), kBase (chain too deep).
WriteReport write_archive(std::span<const Input> inputs, const std::filesystem::path& target,
                          const WriteOptions& options);
WriteReport write_archive(std::span<const Input> inputs, const ByteSink& target,
                          const WriteOptions& options);

}  // namespace pith::archive
