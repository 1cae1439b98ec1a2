// The kinds of coded block and what each layout implements. See docs/codecs.md for the bytes.
#pragma once

#include "pith/lossless/codec.h"

namespace pith::lossless {

// First byte of every block. Written to archives: never change or reuse a number.
enum class BlockKind : uint8_t {
  kRaw = 0,         // the bytes themselves
  kConstant = 1,    // one element, repeated
  kZstd = 2,        // a zstd frame
  kPlanes = 3,      // byte planes of fixed-width elements
  kRecords = 4,     // fields of fixed-size records, each a block
  kSparse = 5,      // which elements are not zero, and those
  kDictionary = 6,  // at most 256 distinct elements
  kDelta = 7,       // differences to the base
  kSameAsBase = 8,  // equal to the base
  kContextMix = 9,  // mixed contexts and arithmetic coding
  kSwapped = 10,    // big-endian elements, swapped to little-endian
  kUnaligned = 11,  // a few bytes at each end, and a block of whole elements between them
  kSteps = 12,      // one of a few steps from the base
};

inline constexpr int kMaxDepth = 4;  // blocks within blocks

// How the layouts call each other back: encode() and decode() with the depth counted.
void encode_nested(ByteView raw, const Content& content, Level level, int depth, Bytes& out);
void decode_nested(ByteView block, ByteView base, MutableByteView raw, int depth);
std::string explain_nested(ByteView block, int depth);

// Appends varint length and block; reads it back.
void append_sized_block(ByteView raw, const Content& content, Level level, int depth, Bytes& out);

// Each layout appends what follows the kind byte; the caller writes that. Callers pass whole
// elements for those that have a width.
void encode_zstd(ByteView raw, int level, Bytes& out);
void decode_zstd(ByteReader& in, MutableByteView raw);

// Byte planes. `rotate` turns each element left by one bit first, which brings the exponent of an
// IEEE float into the top byte (or, for 16-bit halves, its top five bits) and the sign to the end.
void encode_planes(ByteView raw, int width, bool rotate, Level level, Bytes& out);
void decode_planes(ByteReader& in, MutableByteView raw);
std::string explain_planes(ByteReader& in);

void encode_records(ByteView raw, DType dtype, Level level, int depth, Bytes& out);
void decode_records(ByteReader& in, MutableByteView raw, int depth);
std::string explain_records(ByteReader& in, int depth);

void encode_sparse(ByteView raw, int width, const Content& content, Level level, int depth,
                   Bytes& out);
void decode_sparse(ByteReader& in, MutableByteView raw, int depth);
std::string explain_sparse(ByteReader& in, int depth);

// False (and nothing appended) when there are more than 256 distinct elements.
bool encode_dictionary(ByteView raw, int width, Level level, Bytes& out);
void decode_dictionary(ByteReader& in, MutableByteView raw);

void encode_delta(ByteView raw, ByteView base, const Content& content, Level level, Bytes& out);
void decode_delta(ByteReader& in, ByteView base, MutableByteView raw);

// False (and nothing appended) when the elements are not a few steps from the base's.
bool encode_steps(ByteView raw, ByteView base, const Content& content, Level level, Bytes& out);
void decode_steps(ByteReader& in, ByteView base, MutableByteView raw);

// An element of 1, 2, 4 or 8 bytes, little-endian.
inline uint64_t load_element(const uint8_t* p, uint64_t width) {
  switch (width) {
    case 1:
      return *p;
    case 2:
      return load_le<uint16_t>(p);
    case 4:
      return load_le<uint32_t>(p);
    default:
      return load_le<uint64_t>(p);
  }
}

// Elements of `width` bytes with their bytes in reverse order.
void swap_bytes(ByteView from, int width, MutableByteView to);

// Content type of the elements a layout works on: complex numbers as their two floats, packed and
// opaque types as bytes.
DType element_type(DType dtype);

}  // namespace pith::lossless
