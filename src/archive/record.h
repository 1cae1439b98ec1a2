// The variable-length records of a .pith file: files, their ends, the base, the index.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "frame.h"
#include "pith/archive/base.h"
#include "pith/archive/reader.h"
#include "pith/archive/stored_form.h"
#include "pith/base/hash.h"
#include "pith/io/layout.h"

namespace pith::archive {

// Where the base of a tensor lies: the first byte in one of the base's regular files.
struct BasePlace {
  uint32_t file = 0;
  uint64_t offset = 0;
};

struct TensorRecord {
  io::TensorRegion region;
  std::optional<BasePlace> base;
};

struct FileRecord {
  std::string path;
  EntryKind kind = EntryKind::kRegular;
  uint32_t mode = 0644;
  std::optional<uint64_t> size;  // not known yet when a stream begins
  std::string format;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::string> notes;
  std::vector<TensorRecord> tensors;
};

// What stands before a form: how its elements become the bytes of its tensor, and what is told of
// it.
struct FormRecord {
  DType dtype = DType::kF32;
  bool big_endian = false;
  FormInfo info;
};

// A run of consecutive bytes of a file: coded, equal to an earlier run, a tensor in a form, or
// destroyed.
enum class ChunkKind : uint8_t { kData = 2, kRef = 3, kForm = 7, kLost = 255 };
struct Chunk {
  uint64_t offset = 0, raw = 0;  // in the original file
  uint64_t at = 0;               // of the frame, in the archive
  uint64_t stored = 0;           // payload bytes
  uint64_t ref_offset = 0;       // kRef: where the equal bytes are
  uint32_t ref_file = 0;
  ChunkKind kind = ChunkKind::kData;
  uint32_t form = 0;  // kForm: which of the file's form records is its
};

struct IndexedFile {
  FileRecord record;
  uint64_t size = 0;
  Hash128 hash;
  bool ended = true;          // size and hash are known; not so after some damage
  std::vector<Chunk> chunks;  // consecutive from 0 to size
  std::vector<FormRecord> forms;
};

struct Index {
  std::optional<BaseRecord> base;
  std::vector<IndexedFile> files;
};

struct FileEnd {
  uint64_t size = 0;
  Hash128 hash;
};
struct Reference {
  uint32_t file = 0;
  uint64_t offset = 0;
};

Bytes write_file_record(const FileRecord& record);
FileRecord read_file_record(ByteView data);
Bytes write_base_record(const BaseRecord& record);
BaseRecord read_base_record(ByteView data);
Bytes write_end(const FileEnd& end);
FileEnd read_end(ByteView data);
Bytes write_reference(const Reference& reference);
Reference read_reference(ByteView data);
Bytes write_form_record(const FormRecord& record);
FormRecord read_form_record(ByteView data);
Bytes write_index(const Index& index);
// Reads and checks an index whose frame stands at `index_at`: whatever it says about places in the
// archive and in files is true of an archive of that length. Throws kData.
Index read_index(ByteView data, uint64_t index_at);

// Throws kData unless the tensors of a file of that size are what io::Layout promises.
void check_tensors(const FileRecord& record, uint64_t size);
// Answers in logarithmic time whether a range of a file consists of coded bytes and forms alone.
class DataCover {
 public:
  explicit DataCover(const IndexedFile& file);
  bool covers(uint64_t offset, uint64_t size) const;

 private:
  const std::vector<Chunk>* chunks_;
  std::vector<uint32_t> others_before_;  // chunks before the i-th that are neither
};

// The payload of a metadata frame: zstd when that helps. unpack() takes at most `limit` bytes.
struct Packed {
  Bytes payload;
  uint64_t raw = 0;
  uint8_t flags = 0;
};
Packed pack(Bytes raw);
Bytes unpack(ByteView payload, const FrameHeader& header, uint64_t limit);

}  // namespace pith::archive
