// The fixed-size structures of a .pith file: header, frame headers, footer (docs/format.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "pith/base/bytes.h"

namespace pith::archive {

inline constexpr uint64_t kAlign = 64;       // frames begin on multiples of this
inline constexpr uint64_t kHeaderSize = 64;  // of the file, of a frame, of the footer
inline constexpr uint16_t kMajor = 1;
inline constexpr uint16_t kMinor = 0, kMinorWithForms = 1;  // an archive has the least it needs

// Required features, one bit each; a reader refuses bits that it does not know.
inline constexpr uint64_t kFeatureBase = 1;   // the archive is a delta: it has a BASE frame
inline constexpr uint64_t kFeatureForms = 2;  // tensors may be stored in FORM frames
inline constexpr uint64_t kKnownFeatures = kFeatureBase | kFeatureForms;

struct ArchiveHeader {
  uint16_t major = kMajor, minor = kMinor;
  uint32_t id = 0;  // repeated in every frame, so that frames of nested archives are told apart
  uint64_t required = 0, optional = 0;
};

enum class FrameKind : uint8_t {
  kFile = 1,
  kData = 2,
  kRef = 3,
  kEnd = 4,
  kBase = 5,
  kIndex = 6,
  kForm = 7,
};
inline constexpr uint8_t kFrameIgnorable = 1;  // a reader that does not know the kind skips it
inline constexpr uint8_t kFrameZstd = 2;       // the payload is one zstd frame
// Other flags would change what the payload means.

struct FrameHeader {
  FrameKind kind = FrameKind::kData;
  uint8_t flags = 0;
  uint32_t id = 0;
  uint32_t file = 0;    // number of the file in the archive
  uint64_t stored = 0;  // payload bytes
  uint64_t raw = 0;     // bytes of the original file, or of the payload uncompressed
  uint64_t offset = 0;  // DATA, REF, FORM: where in the original file the run begins
  uint64_t payload_hash = 0;
  uint64_t raw_hash = 0;  // of data
};

struct Footer {
  uint64_t index_at = 0, index_size = 0;  // the index frame with its header, without padding
  uint64_t total = 0;                     // length of the archive
  uint32_t id = 0;
};

uint64_t round_up(uint64_t n);
// Bytes that a frame takes with header and padding; throws kData on overflow.
uint64_t frame_span(uint64_t stored);

Bytes write_header(const ArchiveHeader& header);
Bytes write_footer(const Footer& footer);
void write_frame_header(const FrameHeader& header, Bytes& out);

// Throw kData: not an archive, damaged, or needs a newer Pith.
ArchiveHeader read_header(ByteView file);
Footer read_footer(ByteView file);
// No value when no intact frame header stands at the beginning of `at`.
std::optional<FrameHeader> read_frame_header(ByteView at);
bool has_magic(ByteView file);
std::string_view kind_name(FrameKind kind);

}  // namespace pith::archive
