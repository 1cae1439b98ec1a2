// How a file is cut into the units that are coded.
//
// A unit is a run of bytes of one element type: whole rows of a large tensor, a small tensor, a
// gap between tensors, or several tiny ones of a type together. The writer codes large units as a
// chunk each and groups small ones into chunks of several blocks.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "pith/io/layout.h"
#include "pith/lossless/codec.h"

namespace pith::archive {

struct Unit {
  uint64_t offset = 0, size = 0;
  lossless::Content content;
  bool alone = false;  // a chunk of its own, so that equal tensors are cut alike wherever they lie
  std::optional<size_t> form = {};  // the number of the tensor, which gets a form
};

struct ChunkSizes {
  uint64_t tensor, plain;  // raw bytes that a chunk of tensor rows, of other bytes aims at
};
ChunkSizes chunk_sizes(lossless::Level level);

// Smaller units are not worth looking for a second time, nor a frame of their own.
inline constexpr uint64_t kShareable = 16 << 10;
// From this size on a frame costs less than 0.1% of what it holds.
inline constexpr uint64_t kAlone = 192 << 10;

// The units of a file of `size` bytes, in order, without gaps. `tensors` ascend, do not overlap and
// lie within the file. Tensors with `in_form` (empty: none) are a unit each.
std::vector<Unit> plan_units(std::span<const io::TensorRegion> tensors, uint64_t size,
                             lossless::Level level, const std::vector<bool>& in_form = {});

}  // namespace pith::archive
