// Samples of bytes: slices, not single bytes, so that the reads stay within few cache lines.
#pragma once

#include "pith/base/bytes.h"

namespace pith::lossless {

// `count` slices of `length` bytes, one every `stride` bytes; the last must end within `from`.
inline Bytes take_slices(ByteView from, uint64_t count, uint64_t length, uint64_t stride) {
  Bytes out;
  out.reserve(count * length);
  for (uint64_t i = 0; i < count; ++i) {
    const ByteView slice = from.subspan(i * stride, length);
    out.insert(out.end(), slice.begin(), slice.end());
  }
  return out;
}

}  // namespace pith::lossless
