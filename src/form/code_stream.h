// Codes of 1 to 16 bits, one after the other over all rows, in the blocks of codes.h: where codes
// have more than 8 bits, a block is its low bytes and then the block of what is above them.
#pragma once

#include <cstdint>
#include <span>

#include "pith/base/buffer.h"

namespace pith::form {

class CodeStream {
 public:
  // Throws ErrorKind::kData unless the bytes are those of n codes.
  CodeStream(uint64_t n, int bits, Buffer bytes);

  static uint64_t bytes(uint64_t n, int bits);
  static Bytes pack(std::span<const uint16_t> codes, int bits);

  void get(uint64_t first, uint64_t n, uint16_t* out) const;
  // The blocks that begin with a code, a multiple of 64.
  const uint8_t* block(uint64_t first) const;
  const Buffer& stored() const { return bytes_; }

 private:
  int bits_;
  Buffer bytes_;
};

}  // namespace pith::form
