// The shape of arrays, as every chunk begins with.
#pragma once

#include "pith/base/bytes.h"
#include "pith/kv/arrays.h"

namespace pith::kv {

inline constexpr uint64_t kMostNumbers = 1ULL << 32;  // of keys in a chunk

void write_shape(const Arrays& arrays, ByteWriter& to);
// Without numbers. Throws ErrorKind::kData for more than kMostNumbers.
Arrays read_shape(ByteReader& from);
// Throws ErrorKind::kUsage where there are not as many numbers as the shape says.
void check_size(const Arrays& arrays);

}  // namespace pith::kv
