// The header of one .npy array, alone in a file or as a member of an .npz.
#pragma once

#include "layout_builder.h"
#include "pith/base/bytes.h"

namespace pith::io {

// Adds the array that begins at `at` in the file as one region, or a note that says why its
// elements stay plain bytes. `array` is the npy file or member. Throws for a malformed header.
void add_npy(LayoutBuilder& layout, ByteView array, uint64_t at, std::string name);

}  // namespace pith::io
