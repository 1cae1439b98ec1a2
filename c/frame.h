// A self-contained coded buffer, for what is no file: a KV-cache page on its way to another
// process, a gradient, a row of a database. The C library and the Python module share it.
//
//   "PFR1" | u64 original size | u64 XXH3-64 of the original
//          | for each 4 MiB of the original: u32 coded size, a lossless block (lossless/codec.h)
#pragma once

#include "pith/base/bytes.h"
#include "pith/base/dtype.h"
#include "pith/lossless/codec.h"

namespace pith::frame {

inline constexpr uint64_t kBlock = uint64_t{4} << 20;

// The largest frame that `raw` bytes can become.
uint64_t bound(uint64_t raw);
// `dtype` is a hint that makes the search shorter; threads <= 0: all. The same bytes on every
// number of threads.
Bytes encode(ByteView raw, DType dtype, lossless::Level level, int threads);

// Size of the original. Throws kData unless the frame has the blocks that such a size needs, so
// that memory for it may be allocated.
uint64_t raw_size(ByteView frame);
// `out`: exactly raw_size() bytes. Throws kData for every damaged frame.
void decode(ByteView frame, MutableByteView out, int threads);

}  // namespace pith::frame
