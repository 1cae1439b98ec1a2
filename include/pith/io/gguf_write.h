// GGUF files, written as their tensors come.
//
//   GgufWriter out("model.gguf", false, metadata, tensors);
//   for (…) out.write(piece);  // the data of the tensors, one after the other
//   out.commit();              // now the file is there
//
// The file is version 3, little-endian, aligned to 32 bytes. It appears whole or not at all
// (AtomicFile).
#pragma once

#include <filesystem>
#include <vector>

#include "pith/base/file.h"
#include "pith/io/gguf_metadata.h"
#include "pith/io/write.h"

namespace pith::io {

class GgufWriter {
 public:
  // Throws ErrorKind::kUsage for what GGUF cannot hold or llama.cpp does not read: types that are
  // none of its, rows that are not whole blocks, names that are not UTF-8, stand twice or have more
  // than 63 bytes, more than four dimensions, keys that stand twice. ErrorKind::kIo as AtomicFile.
  GgufWriter(const std::filesystem::path& path, bool overwrite, const GgufMetadata& metadata,
             std::vector<TensorInfo> tensors);

  // Goes on with the tensor whose data are not whole yet. Throws ErrorKind::kUsage for more bytes
  // than it has.
  void write(ByteView piece);
  // Throws ErrorKind::kUsage where data are missing.
  void commit();

  uint64_t size() const { return file_.size(); }  // bytes so far

 private:
  void go_on();

  std::vector<TensorInfo> tensors_;
  AtomicFile file_;
  size_t current_ = 0;    // tensor
  uint64_t missing_ = 0;  // of its bytes
};

}  // namespace pith::io
