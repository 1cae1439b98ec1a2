// Pith's codec alone, in memory: pieces of tensors as the archive cuts them, each coded and
// checksummed by itself, on one thread.
#pragma once

#include <span>
#include <vector>

#include "bench_measure.h"
#include "pith/io/layout.h"
#include "pith/lossless/codec.h"

namespace pith::bench {

struct Unit {
  uint64_t offset = 0, size = 0;
  lossless::Content content;
};

// Covers the file: tensors in pieces of 1 MiB (4 MiB at `max`), whole rows where possible; small
// neighbours together; the bytes between tensors.
std::vector<Unit> cut(std::span<const io::TensorRegion> tensors, uint64_t file_size,
                      lossless::Level level);

const char* level_name(lossless::Level level);

class Ours : public Codec {
 public:
  // `base`: as large as what encode() gets, or empty.
  Ours(std::string name, std::vector<Unit> units, lossless::Level level, ByteView base = {});
  uint64_t encode(ByteView raw) override;
  void decode(MutableByteView raw) override;
  // Bytes that units of this type take.
  uint64_t coded(DType dtype) const;

  // What a unit costs beyond its block here: checksum and length.
  static constexpr uint64_t kOverhead = 12;

 private:
  struct Block {
    uint64_t start, size, hash;
  };
  ByteView base(const Unit& unit) const;

  std::vector<Unit> units_;
  lossless::Level level_;
  ByteView base_;
  Bytes coded_;
  std::vector<Block> blocks_;
};

}  // namespace pith::bench
