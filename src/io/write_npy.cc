#include <zlib.h>

#include <algorithm>

#include "pith/io/names.h"
#include "pith/io/text.h"
#include "pith/io/write.h"

namespace pith::io {
namespace {

constexpr size_t kAlignment = 64;

// NumPy leaves room for the first dimension to grow to this many digits in place.
constexpr size_t kGrowthDigits = 21;

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "(";
  for (size_t k = 0; k < shape.size(); ++k) text += (k ? ", " : "") + std::to_string(shape[k]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string dictionary(std::string_view descr, std::span<const uint64_t> shape) {
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr,
                                 shape_text(shape));
  if (!shape.empty()) text.append(kGrowthDigits - std::to_string(shape[0]).size(), ' ');
  return text;
}

uint32_t crc_of(uint32_t crc, ByteView data) {
  return static_cast<uint32_t>(crc32_z(crc, data.data(), data.size()));
}

}  // namespace

Bytes npy_header(DType dtype, std::span<const uint64_t> shape) {
  const std::string_view descr = numpy_descr(dtype);
  if (descr.empty()) fail(ErrorKind::kUsage, "NumPy has no type for {}", info(dtype).name);
  std::string text = dictionary(descr, shape);
  // Magic, version and length take 10 bytes, in version 2 12.
  const bool long_header = text.size() + kAlignment > 0xFFFF;
  const size_t before = long_header ? 12 : 10;
  text.append(kAlignment - (before + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  Bytes out;
  out.reserve(256);
  ByteWriter writer(out);
  writer.bytes(as_bytes("\x93NUMPY"));
  writer.u8(long_header ? 2 : 1);
  writer.u8(0);
  if (long_header) {
    writer.u32(static_cast<uint32_t>(text.size()));
  } else {
    writer.u16(static_cast<uint16_t>(text.size()));
  }
  writer.bytes(as_bytes(text));
  return out;
}

void NpzWriter::write(ByteView bytes) {
  sink_(bytes);
  written_ += bytes.size();
}

namespace {

// Zip records (PKWARE's APPNOTE.TXT, 4.3): sizes that need more than 32 bits are all ones there and
// stand in a zip64 extra field. Members are dated 1980-01-01, so that equal arrays give equal
// files.
constexpr uint32_t kAllOnes = 0xFFFFFFFF;
constexpr uint16_t kDate1980 = 1 << 5 | 1;
constexpr uint16_t kUtf8Flag = 1 << 11;

uint32_t low(uint64_t value) { return static_cast<uint32_t>(std::min<uint64_t>(value, kAllOnes)); }
uint16_t needed_version(bool zip64) { return zip64 ? 45 : 20; }

Bytes zip64_field(std::initializer_list<uint64_t> values) {
  Bytes body;
  body.reserve(256);
  for (const uint64_t value : values) {
    if (value >= kAllOnes) ByteWriter(body).u64(value);
  }
  Bytes out;
  out.reserve(256);
  if (body.empty()) return out;
  ByteWriter writer(out);
  writer.u16(1);
  writer.u16(static_cast<uint16_t>(body.size()));
  writer.bytes(body);
  return out;
}

// What the local header and the directory entry have in common.
void common_fields(ByteWriter& writer, uint16_t version, uint32_t crc, uint64_t size,
                   const std::string& name, size_t extra) {
  writer.u16(version);
  writer.u16(kUtf8Flag);
  writer.u16(0);  // stored
  writer.u16(0);  // time
  writer.u16(kDate1980);
  writer.u32(crc);
  writer.u32(low(size));
  writer.u32(low(size));
  writer.u16(static_cast<uint16_t>(name.size()));
  writer.u16(static_cast<uint16_t>(extra));
}

}  // namespace

void NpzWriter::add(const std::string& name, DType dtype, std::span<const uint64_t> shape,
                    ByteView data) {
  if (tensor_bytes(dtype, shape) != data.size()) {
    fail(ErrorKind::kUsage, "npz: array {} has {} bytes, which is not what its shape says",
         in_quotes(name), data.size());
  }
  const std::string file_name = name + ".npy";
  if (file_name.size() > 0xFFFF) fail(ErrorKind::kUsage, "npz: {} is too long", in_quotes(name));
  const Bytes header = npy_header(dtype, shape);
  const uint64_t size = header.size() + data.size();
  const uint32_t crc = crc_of(crc_of(0, header), data);
  members_.push_back({file_name, crc, size, written_});
  const Bytes extra = zip64_field({size, size});
  Bytes local;
  local.reserve(256);
  ByteWriter writer(local);
  writer.u32(0x04034b50);
  common_fields(writer, needed_version(!extra.empty()), crc, size, file_name, extra.size());
  writer.bytes(as_bytes(file_name));
  writer.bytes(extra);
  write(local);
  write(header);
  write(data);
}

void NpzWriter::finish() {
  const uint64_t begin = written_;
  for (const Member& member : members_) {
    const Bytes extra = zip64_field({member.size, member.size, member.offset});
    Bytes entry;
    entry.reserve(256);
    ByteWriter writer(entry);
    writer.u32(0x02014b50);
    writer.u16(3 << 8 | 45);  // made on Unix
    common_fields(writer, needed_version(!extra.empty()), member.crc, member.size, member.name,
                  extra.size());
    writer.u16(0);            // comment
    writer.u16(0);            // disk
    writer.u16(0);            // internal attributes
    writer.u32(0600u << 16);  // permissions
    writer.u32(low(member.offset));
    writer.bytes(as_bytes(member.name));
    writer.bytes(extra);
    write(entry);
  }
  const uint64_t size = written_ - begin, count = members_.size(), end = written_;
  Bytes tail;
  tail.reserve(256);
  ByteWriter writer(tail);
  if (count >= 0xFFFF || begin >= kAllOnes || size >= kAllOnes) {
    writer.u32(0x06064b50);
    writer.u64(44);
    writer.u16(3 << 8 | 45);
    writer.u16(45);
    writer.u32(0);
    writer.u32(0);
    for (const uint64_t value : {count, count, size, begin}) writer.u64(value);
    writer.u32(0x07064b50);
    writer.u32(0);
    writer.u64(end);
    writer.u32(1);
  }
  const auto short_count = static_cast<uint16_t>(std::min<uint64_t>(count, 0xFFFF));
  writer.u32(0x06054b50);
  writer.u32(0);
  writer.u16(short_count);
  writer.u16(short_count);
  writer.u32(low(size));
  writer.u32(low(begin));
  writer.u16(0);
  write(tail);
}

}  // namespace pith::io
