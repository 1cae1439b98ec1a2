// zstd frames, with one context for each thread: making contexts costs more than small inputs do.
#pragma once

#include "pith/base/bytes.h"

namespace pith::lossless {

// Appends a frame of `raw` and returns its size.
size_t append_zstd(ByteView raw, int level, Bytes& out);
// False unless `frame` is a frame of exactly raw.size() bytes.
bool decompress_zstd(ByteView frame, MutableByteView raw);
// Size of a frame of `raw` at the fastest level.
size_t zstd_size(ByteView raw);

}  // namespace pith::lossless
