// Splits elements into byte planes and puts them together again, at memory speed.
#pragma once

#include "pith/base/bytes.h"

namespace pith::lossless {

// Elements of `width` (1, 2, 4 or 8) bytes; planes[0] gets the most significant bytes. With
// `rotate`, each element is turned left by one bit before. raw.size() is width * n, every plane has
// room for n bytes.
void split_planes(ByteView raw, int width, bool rotate, uint8_t* const* planes);
void merge_planes(const uint8_t* const* planes, int width, bool rotate, MutableByteView raw);

}  // namespace pith::lossless
