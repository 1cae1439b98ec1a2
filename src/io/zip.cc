#include "zip.h"

#include <algorithm>

#include "pith/io/text.h"

// Record layouts: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.
namespace pith::io {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20, kCentralBytes = 46;
constexpr uint16_t kZip64Field = 1;

struct Directory {
  uint64_t count, size, offset;
};

// The end record stands before a comment of at most 65,535 bytes.
uint64_t find_end(ByteView archive) {
  if (archive.size() < kEndBytes) fail(ErrorKind::kData, "zip: too short");
  const uint64_t last = archive.size() - kEndBytes;
  const uint64_t first = last > 0xFFFF ? last - 0xFFFF : 0;
  for (uint64_t at = last + 1; at-- > first;) {
    if (load_le<uint32_t>(&archive[at]) == kEnd &&
        load_le<uint16_t>(&archive[at + 20]) == last - at) {
      return at;
    }
  }
  fail(ErrorKind::kData, "zip: the end of the directory is missing; the file may be truncated");
}

Directory read_end64(ByteView archive, uint64_t locator_at) {
  ByteReader locator(archive.subspan(locator_at, kLocatorBytes), "zip64 locator");
  locator.bytes(8);
  const uint64_t at = locator.u64();
  if (at > locator_at) locator.bad("it points behind itself");
  ByteReader reader(archive.subspan(at, locator_at - at), "zip64 end record");
  if (reader.u32() != kEnd64) reader.bad("the signature is missing");
  reader.bytes(8 + 2 + 2 + 4 + 4 + 8);
  Directory directory{};
  directory.count = reader.u64();
  directory.size = reader.u64();
  directory.offset = reader.u64();
  return directory;
}

Directory find_directory(ByteView archive) {
  const uint64_t end = find_end(archive);
  ByteReader reader(archive.subspan(end), "zip end record");
  reader.bytes(4 + 2 + 2);
  const uint16_t here = reader.u16();
  Directory directory{};
  directory.count = reader.u16();
  directory.size = reader.u32();
  directory.offset = reader.u32();
  const bool zip64 =
      end >= kLocatorBytes && load_le<uint32_t>(&archive[end - kLocatorBytes]) == kLocator64;
  if (zip64) {
    directory = read_end64(archive, end - kLocatorBytes);
  } else if (here != directory.count) {
    reader.bad("the archive has several parts");
  }
  if (directory.offset > end || directory.size > end - directory.offset ||
      directory.count > directory.size / kCentralBytes) {
    reader.bad("the directory lies outside the file");
  }
  return directory;
}

// The values of a zip64 extra field replace those that are all ones, in this order.
void apply_zip64(ByteView extra, std::initializer_list<uint64_t*> values) {
  for (ByteReader fields(extra, "zip extra field"); fields.remaining() >= 4;) {
    const uint16_t id = fields.u16();
    ByteReader field(fields.bytes(fields.u16()), "zip64 extra field");
    if (id != kZip64Field) continue;
    for (uint64_t* value : values) {
      if (*value == 0xFFFFFFFF) *value = field.u64();
    }
    return;
  }
}

// Members that share bytes are how zip bombs make a small file cost a long time.
void refuse_overlaps(std::vector<std::pair<uint64_t, uint64_t>> ranges) {
  std::ranges::sort(ranges);
  for (size_t k = 1; k < ranges.size(); ++k) {
    if (ranges[k].first < ranges[k - 1].second) fail(ErrorKind::kData, "zip: members overlap");
  }
}

// Sets where the content lies from the local header, whose lengths of name and extra field may
// differ from the directory's (PyTorch pads there to align storages).
void locate(ByteView archive, uint64_t local, uint64_t size, ZipMember& member) {
  if (local > archive.size())
    fail(ErrorKind::kData, "zip member {}: outside the file", in_quotes(member.name));
  ByteReader reader(archive.subspan(local), "zip local header");
  if (reader.u32() != kLocal) reader.bad("the signature is missing");
  reader.bytes(2 + 2);
  const uint16_t method = reader.u16();
  reader.bytes(2 + 2 + 4 + 4 + 4);
  const uint16_t name_size = reader.u16();
  const uint16_t extra_size = reader.u16();
  const std::string_view name = as_text(reader.bytes(name_size));
  reader.bytes(extra_size);
  if (name != member.name || method != member.method) {
    reader.bad("it contradicts the directory");
  }
  member.offset = local + reader.offset();
  member.content = reader.bytes(size);
}

// Reads one entry of the directory; `range` becomes what its local header and content take.
ZipMember read_member(ByteView archive, ByteReader& reader, std::pair<uint64_t, uint64_t>& range) {
  if (reader.u32() != kCentral) reader.bad("the signature of a directory entry is missing");
  reader.bytes(2 + 2);
  const uint16_t flags = reader.u16();
  ZipMember member;
  member.method = reader.u16();
  member.encrypted = flags & 1;
  reader.bytes(2 + 2 + 4);
  uint64_t packed = reader.u32();
  uint64_t size = reader.u32();
  const uint16_t name_size = reader.u16();
  const uint16_t extra_size = reader.u16();
  const uint16_t comment_size = reader.u16();
  reader.bytes(2 + 2 + 4);
  uint64_t local = reader.u32();
  member.name = as_text(reader.bytes(name_size));
  apply_zip64(reader.bytes(extra_size), {&size, &packed, &local});
  reader.bytes(comment_size);
  if (member.stored() && packed != size) reader.bad("a stored member has two sizes");
  locate(archive, local, packed, member);
  range = {local, member.offset + packed};
  return member;
}

}  // namespace

std::vector<ZipMember> zip_members(ByteView archive) {
  const Directory directory = find_directory(archive);
  ByteReader reader(archive.subspan(directory.offset, directory.size), "zip directory");
  std::vector<ZipMember> members;
  members.reserve(directory.count);
  std::vector<std::pair<uint64_t, uint64_t>> ranges(directory.count);
  for (auto& range : ranges) members.push_back(read_member(archive, reader, range));
  refuse_overlaps(std::move(ranges));
  return members;
}

}  // namespace pith::io
