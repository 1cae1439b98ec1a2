// The payload of a DATA frame: a table of blocks, then the lossless blocks.
#pragma once

#include <span>
#include <vector>

#include "pith/archive/base.h"
#include "pith/lossless/codec.h"
#include "record.h"

namespace pith::archive {

// One block of a chunk: `raw` bytes at `offset` from the chunk's beginning.
struct Block {
  uint64_t offset = 0, raw = 0;
  ByteView coded;
};

// Splits a payload; throws kData unless the blocks fill chunk and payload exactly.
std::vector<Block> read_blocks(ByteView payload, uint64_t chunk_raw);

// The tensors of a file that have a place in its base, ascending by offset.
struct BasedTensor {
  uint64_t offset = 0, size = 0;
  BasePlace place;
};

// What a delta of [offset, offset + size) of a file is taken against: the base's bytes where a
// tensor has a base, zeros elsewhere. Empty when no tensor there has one.
Bytes base_image(std::span<const BasedTensor> tensors, uint64_t offset, uint64_t size,
                 const Base& base);
bool touches_base(std::span<const BasedTensor> tensors, uint64_t offset, uint64_t size);

struct RunPlan {
  uint64_t size = 0;
  lossless::Content content;
  bool based = false;  // a tensor in it has a base
};
struct CodedRun {
  uint64_t raw = 0, coded = 0;
};
// Codes `raw`, which the runs cover, into `payload`; `base` is its base image, empty when no run is
// based (a run that is not must not become a difference to the image's zeros). Never takes more
// than raw.size() + 40 bytes. Returns the blocks' sizes.
std::vector<CodedRun> write_chunk(ByteView raw, std::span<const RunPlan> runs,
                                  lossless::Level level, ByteView base, Bytes& payload);

}  // namespace pith::archive
