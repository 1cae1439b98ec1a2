#include "record.h"

#include <algorithm>
#include <bit>

#include "pith/archive/source.h"
#include "pith/base/float_elements.h"

namespace pith::archive {
namespace {

constexpr uint8_t kBigEndian = 1, kHasBase = 2;

void write_tensor(const TensorRecord& tensor, uint64_t& end, ByteWriter& w) {
  const io::TensorRegion& t = tensor.region;
  w.string(t.name);
  w.u8(static_cast<uint8_t>(t.dtype));
  w.u8(static_cast<uint8_t>((t.big_endian ? kBigEndian : 0) | (tensor.base ? kHasBase : 0)));
  w.varint(t.shape.size());
  for (const uint64_t d : t.shape) w.varint(d);
  w.varint(t.offset - end);
  w.varint(t.size);
  if (tensor.base) {
    w.varint(tensor.base->file);
    w.varint(tensor.base->offset);
  }
  end = t.offset + t.size;
}

uint32_t small_varint(ByteReader& r) {
  const uint64_t v = r.varint();
  if (v > UINT32_MAX) r.bad("a number is too large");
  return static_cast<uint32_t>(v);
}

TensorRecord read_tensor(ByteReader& r, uint64_t& end) {
  TensorRecord tensor;
  io::TensorRegion& t = tensor.region;
  t.name = r.string();
  // A type that a later version knows: its bytes are no less readable.
  const DTypeInfo* type = find_dtype(r.u8());
  t.dtype = type ? type->dtype : DType::kBytes;
  const uint8_t flags = r.u8();
  t.big_endian = (flags & kBigEndian) != 0;
  t.shape.resize(r.count(1));
  for (uint64_t& d : t.shape) d = r.varint();
  t.offset = checked_add(end, r.varint());
  t.size = r.varint();
  end = checked_add(t.offset, t.size);
  if (type && type->dtype != DType::kBytes && tensor_bytes(t.dtype, t.shape) != t.size) {
    r.bad("the size of a tensor does not fit its shape");
  }
  if (flags & kHasBase) {
    tensor.base.emplace();
    tensor.base->file = small_varint(r);
    tensor.base->offset = r.varint();
    checked_add(tensor.base->offset, t.size);
  }
  return tensor;
}

Hash128 read_hash(ByteReader& r) {
  Hash128 hash;
  std::ranges::copy(r.bytes(hash.bytes.size()), hash.bytes.begin());
  return hash;
}

}  // namespace

Bytes write_file_record(const FileRecord& record) {
  Bytes out;
  ByteWriter w(out);
  w.string(record.path);
  w.u8(static_cast<uint8_t>(record.kind));
  w.varint(record.mode);
  w.varint(record.size ? 1 : 0);
  w.varint(record.size.value_or(0));
  w.string(record.format);
  w.varint(record.metadata.size());
  for (const auto& [key, value] : record.metadata) {
    w.string(key);
    w.string(value);
  }
  w.varint(record.notes.size());
  for (const auto& note : record.notes) w.string(note);
  w.varint(record.tensors.size());
  uint64_t end = 0;
  for (const auto& tensor : record.tensors) write_tensor(tensor, end, w);
  return out;
}

// Bytes behind what is read here are additions of later minor versions.
FileRecord read_file_record(ByteView data) {
  ByteReader r(data, "file record");
  FileRecord record;
  record.path = r.string();
  check_path(record.path);
  const uint8_t kind = r.u8();
  if (kind > static_cast<uint8_t>(EntryKind::kDirectory)) r.bad("unknown kind of file");
  record.kind = static_cast<EntryKind>(kind);
  record.mode = small_varint(r) & 0777;
  const bool sized = r.varint() != 0;
  const uint64_t size = r.varint();
  if (sized) record.size = size;
  record.format = r.string();
  for (uint64_t n = r.count(2); n > 0; --n) {
    std::string key = r.string();
    record.metadata.emplace_back(std::move(key), r.string());
  }
  for (uint64_t n = r.count(1); n > 0; --n) record.notes.push_back(r.string());
  uint64_t end = 0;
  for (uint64_t n = r.count(6); n > 0; --n) record.tensors.push_back(read_tensor(r, end));
  return record;
}

Bytes write_base_record(const BaseRecord& record) {
  Bytes out;
  ByteWriter w(out);
  w.string(record.name);
  w.bytes(record.hash.bytes);
  w.varint(record.size);
  w.varint(record.depth);
  return out;
}

BaseRecord read_base_record(ByteView data) {
  ByteReader r(data, "base record");
  BaseRecord record;
  record.name = r.string();
  // It is looked up beside the archive, so it must not lead anywhere else.
  check_path(record.name);
  if (record.name.find('/') != std::string::npos) r.bad("the name of the base is a path");
  record.hash = read_hash(r);
  record.size = r.varint();
  record.depth = small_varint(r);
  return record;
}

Bytes write_end(const FileEnd& end) {
  Bytes out;
  ByteWriter w(out);
  w.varint(end.size);
  w.bytes(end.hash.bytes);
  return out;
}

FileEnd read_end(ByteView data) {
  ByteReader r(data, "end of file record");
  FileEnd end;
  end.size = r.varint();
  end.hash = read_hash(r);
  return end;
}

Bytes write_reference(const Reference& reference) {
  Bytes out;
  ByteWriter w(out);
  w.varint(reference.file);
  w.varint(reference.offset);
  return out;
}

Reference read_reference(ByteView data) {
  ByteReader r(data, "reference");
  Reference reference;
  reference.file = small_varint(r);
  reference.offset = r.varint();
  return reference;
}

Bytes write_form_record(const FormRecord& record) {
  Bytes out;
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(record.dtype));
  w.u8(record.big_endian ? kBigEndian : 0);
  w.u64(std::bit_cast<uint64_t>(record.info.error));
  w.u64(std::bit_cast<uint64_t>(record.info.max_error));
  w.string(record.info.expression);
  return out;
}

// Bytes behind what is read here are additions of later minor versions.
FormRecord read_form_record(ByteView data) {
  ByteReader r(data, "form record");
  FormRecord record;
  const DTypeInfo* type = find_dtype(r.u8());
  if (!type || !has_float_elements(type->dtype)) r.bad("elements that are no floats");
  record.dtype = type->dtype;
  record.big_endian = (r.u8() & kBigEndian) != 0;
  record.info.error = std::bit_cast<double>(r.u64());
  record.info.max_error = std::bit_cast<double>(r.u64());
  record.info.expression = r.string();
  return record;
}

void check_tensors(const FileRecord& record, uint64_t size) {
  if (record.tensors.empty()) return;
  const io::TensorRegion& last = record.tensors.back().region;
  if (checked_add(last.offset, last.size) > size) {
    fail(ErrorKind::kData, "{}: tensor {} does not lie within the file", record.path, last.name);
  }
}

}  // namespace pith::archive
