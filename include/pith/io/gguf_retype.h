// A GGUF file with other types for some of its tensors, everything else as it is.
#pragma once

#include <vector>

#include "pith/base/bytes.h"
#include "pith/io/layout.h"

namespace pith::io {

// `tensors`: all that the layout of `file` lists, with the types that they are to have. Gives the
// part of the new file that stands before its data, in which only types and places have changed;
// sizes and offsets of the tensors become those in the new file, at least that alignment apart.
// Throws ErrorKind::kData for what is no GGUF file or has other tensors, ErrorKind::kUsage for
// big-endian files and for types that GGUF cannot hold in these shapes.
Bytes retype_gguf(ByteView file, std::vector<TensorRegion>& tensors);

}  // namespace pith::io
