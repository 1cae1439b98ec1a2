// Compression of metadata payloads.
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "record.h"

namespace pith::archive {
namespace {

constexpr int kZstdLevel = 12;
// Metadata that claim to expand more than this are not written, so a reader need not allocate for
// them.
constexpr uint64_t kMaxExpansion = 4096, kAlwaysAllowed = 1 << 16;

bool justified(uint64_t raw, uint64_t stored) {
  return raw <= kAlwaysAllowed || raw / kMaxExpansion <= stored;
}

}  // namespace

Packed pack(Bytes raw) {
  Packed out;
  out.raw = raw.size();
  Bytes small(ZSTD_compressBound(raw.size()));
  const size_t n = ZSTD_compress(small.data(), small.size(), raw.data(), raw.size(), kZstdLevel);
  if (ZSTD_isError(n) || n >= raw.size() || !justified(raw.size(), n)) {
    out.payload = std::move(raw);
    return out;
  }
  small.resize(n);
  out.payload = std::move(small);
  out.flags = kFrameZstd;
  return out;
}

Bytes unpack(ByteView payload, const FrameHeader& header, uint64_t limit) {
  const std::string_view name = kind_name(header.kind);
  if (header.flags & ~(kFrameIgnorable | kFrameZstd)) {
    fail(ErrorKind::kData, "{} frame has flags that this Pith does not know", name);
  }
  if (header.raw > limit) {
    fail(ErrorKind::kLimit, "{} frame of {} bytes is above the limit of {}", name, header.raw,
         limit);
  }
  if (!(header.flags & kFrameZstd)) {
    if (header.raw != payload.size()) {
      fail(ErrorKind::kData, "{} frame: size does not match", name);
    }
    return {payload.begin(), payload.end()};
  }
  if (!justified(header.raw, payload.size())) {
    fail(ErrorKind::kData, "{} frame: {} bytes cannot come from {}", name, header.raw,
         payload.size());
  }
  Bytes out(header.raw);
  const size_t n = ZSTD_decompress(out.data(), out.size(), payload.data(), payload.size());
  if (ZSTD_isError(n) || n != out.size()) {
    fail(ErrorKind::kData, "{} frame: its content cannot be decompressed", name);
  }
  return out;
}

}  // namespace pith::archive
