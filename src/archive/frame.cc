#include "frame.h"

#include <algorithm>
#include <array>
#include <string>

#include "pith/base/hash.h"

namespace pith::archive {
namespace {

// As PNG's: a byte that is not ASCII, a CR-LF, the end-of-file of DOS and a lone LF, so that every
// usual damage by a transfer in text mode shows in the first bytes.
constexpr std::array<uint8_t, 8> kMagic = {0x89, 'P', 'T', 'H', '\r', '\n', 0x1A, '\n'};
constexpr std::array<uint8_t, 8> kFooterMagic = {0x89, 'P', 'T', 'H', 'E', 'N', 'D', '\n'};
constexpr std::array<uint8_t, 4> kFrameMagic = {0xF7, 'P', 'F', 'R'};

// The last eight bytes of each structure are the hash of those before.
constexpr uint64_t kHashAt = kHeaderSize - 8;

// Fills one structure field by field; what is not filled stays zero.
class Fields {
 public:
  explicit Fields(ByteView magic) {
    std::ranges::copy(magic, raw_.begin());
    at_ = magic.size();
  }
  template <class T>
  Fields& add(T value) {
    store_le(&raw_[at_], value);
    at_ += sizeof value;
    return *this;
  }
  void finish(Bytes& out) {
    store_le(&raw_[kHashAt], hash64(ByteView(raw_).first(kHashAt)));
    out.insert(out.end(), raw_.begin(), raw_.end());
  }

 private:
  std::array<uint8_t, kHeaderSize> raw_{};
  size_t at_ = 0;
};

bool sealed(ByteView at) { return hash64(at.first(kHashAt)) == load_le<uint64_t>(&at[kHashAt]); }

bool begins_with(ByteView data, ByteView magic) {
  return data.size() >= magic.size() && std::ranges::equal(data.first(magic.size()), magic);
}

std::string bit_list(uint64_t bits) {
  std::string out;
  for (int i = 0; i < 64; ++i) {
    if (bits >> i & 1) out += fmt::format("{}{}", out.empty() ? "" : ", ", i);
  }
  return out;
}

[[noreturn]] void not_an_archive(ByteView file) {
  if (file.size() >= 4 && std::ranges::equal(file.subspan(1, 3), ByteView(kMagic).subspan(1, 3))) {
    fail(ErrorKind::kData,
         "the first bytes of the archive are damaged; was it transferred in text mode?");
  }
  fail(ErrorKind::kData, "is not a .pith archive");
}

}  // namespace

uint64_t round_up(uint64_t n) { return checked_add(n, kAlign - 1) / kAlign * kAlign; }

uint64_t frame_span(uint64_t stored) { return checked_add(kHeaderSize, round_up(stored)); }

Bytes write_header(const ArchiveHeader& h) {
  Bytes out;
  Fields fields(kMagic);
  fields.add(h.major).add(h.minor).add(h.id).add(h.required).add(h.optional).finish(out);
  return out;
}

Bytes write_footer(const Footer& f) {
  Bytes out;
  Fields fields(kFooterMagic);
  fields.add(f.index_at).add(f.index_size).add(f.total).add(f.id).finish(out);
  return out;
}

void write_frame_header(const FrameHeader& h, Bytes& out) {
  Fields fields(kFrameMagic);
  fields.add(static_cast<uint8_t>(h.kind)).add(h.flags).add(uint16_t{0});
  fields.add(h.id).add(h.file).add(h.stored).add(h.raw).add(h.offset);
  fields.add(h.payload_hash).add(h.raw_hash).finish(out);
}

bool has_magic(ByteView file) { return begins_with(file, kMagic); }

ArchiveHeader read_header(ByteView file) {
  if (!has_magic(file)) not_an_archive(file);
  if (file.size() < kHeaderSize) {
    fail(ErrorKind::kData, "the archive is cut short after {} bytes, within its header",
         file.size());
  }
  // The place of version and checksum is the same in every version to come.
  if (!sealed(file)) fail(ErrorKind::kData, "the archive's header is damaged (checksum)");
  ByteReader r(file.first(kHeaderSize), "archive header");
  r.bytes(kMagic.size());
  ArchiveHeader header;
  header.major = r.u16();
  header.minor = r.u16();
  header.id = r.u32();
  header.required = r.u64();
  header.optional = r.u64();
  if (header.major != kMajor) {
    fail(ErrorKind::kData, "the archive has format version {}.{}, this Pith reads {}.x",
         header.major, header.minor, kMajor);
  }
  if (const uint64_t unknown = header.required & ~kKnownFeatures) {
    fail(ErrorKind::kData,
         "the archive (format version {}.{}) needs features that this Pith does not have: bit {}",
         header.major, header.minor, bit_list(unknown));
  }
  return header;
}

Footer read_footer(ByteView file) {
  const ByteView at = file.size() < 2 * kHeaderSize ? ByteView() : file.last(kHeaderSize);
  if (!begins_with(at, kFooterMagic) || !sealed(at)) {
    fail(ErrorKind::kData,
         "the archive's end is missing or damaged ({} bytes are here); see what can be recovered",
         file.size());
  }
  ByteReader r(at, "archive footer");
  r.bytes(kFooterMagic.size());
  Footer footer;
  footer.index_at = r.u64();
  footer.index_size = r.u64();
  footer.total = r.u64();
  footer.id = r.u32();
  const uint64_t body = file.size() - kHeaderSize;
  if (footer.total != file.size() || footer.index_at % kAlign != 0 ||
      footer.index_at < kHeaderSize || footer.index_at > body || footer.index_size < kHeaderSize ||
      round_up(footer.index_size) != body - footer.index_at) {
    fail(ErrorKind::kData, "the archive's footer does not fit its length of {} bytes", file.size());
  }
  return footer;
}

std::optional<FrameHeader> read_frame_header(ByteView at) {
  if (at.size() < kHeaderSize || !begins_with(at, kFrameMagic) || !sealed(at)) return std::nullopt;
  ByteReader r(at.first(kHeaderSize), "frame header");
  r.bytes(kFrameMagic.size());
  FrameHeader header;
  header.kind = static_cast<FrameKind>(r.u8());
  header.flags = r.u8();
  r.u16();
  header.id = r.u32();
  header.file = r.u32();
  header.stored = r.u64();
  header.raw = r.u64();
  header.offset = r.u64();
  header.payload_hash = r.u64();
  header.raw_hash = r.u64();
  return header;
}

std::string_view kind_name(FrameKind kind) {
  switch (kind) {
    case FrameKind::kFile:
      return "FILE";
    case FrameKind::kData:
      return "DATA";
    case FrameKind::kRef:
      return "REF";
    case FrameKind::kEnd:
      return "END";
    case FrameKind::kBase:
      return "BASE";
    case FrameKind::kIndex:
      return "INDEX";
    case FrameKind::kForm:
      return "FORM";
  }
  return "unknown";
}

}  // namespace pith::archive
