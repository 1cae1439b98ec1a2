#include "code_stream.h"

#include <algorithm>
#include <array>

#include "codebook_kernel.h"
#include "codes.h"

namespace pith::form {
namespace {

void unpack_wide(const uint8_t* packed, int bits, uint16_t* codes) {
  std::array<uint8_t, kCodeBlock> low, high;
  unpack_code_blocks(packed, std::min(bits, 8), 1, low.data());
  if (bits <= 8) {
    std::ranges::copy(low, codes);
    return;
  }
  unpack_code_blocks(packed + kCodeBlock, bits - 8, 1, high.data());
  for (uint64_t i = 0; i < kCodeBlock; ++i) codes[i] = static_cast<uint16_t>(low[i] | high[i] << 8);
}

}  // namespace

CodeStream::CodeStream(uint64_t n, int bits, Buffer stored)
    : bits_(bits), bytes_(std::move(stored)) {
  if (bytes_.size() != bytes(n, bits)) fail(ErrorKind::kData, "codes of the wrong size");
}

uint64_t CodeStream::bytes(uint64_t n, int bits) {
  return checked_mul(checked_add(n, kCodeBlock - 1) / kCodeBlock, 8 * static_cast<uint64_t>(bits));
}

Bytes CodeStream::pack(std::span<const uint16_t> codes, int bits) {
  Bytes out(bytes(codes.size(), bits));
  const uint64_t size = 8 * static_cast<uint64_t>(bits);
  for (uint64_t at = 0; at < codes.size(); at += kCodeBlock) {
    std::array<uint8_t, kCodeBlock> low{}, high{};
    for (uint64_t i = 0; i < std::min(kCodeBlock, codes.size() - at); ++i) {
      low[i] = static_cast<uint8_t>(codes[at + i]);
      high[i] = static_cast<uint8_t>(codes[at + i] >> 8);
    }
    uint8_t* to = out.data() + at / kCodeBlock * size;
    pack_block(low.data(), std::min(bits, 8), to);
    if (bits > 8) pack_block(high.data(), bits - 8, to + kCodeBlock);
  }
  return out;
}

const uint8_t* CodeStream::block(uint64_t first) const {
  return bytes_.data() + first / kCodeBlock * 8 * static_cast<uint64_t>(bits_);
}

void CodeStream::get(uint64_t first, uint64_t n, uint16_t* out) const {
  while (n > 0) {
    const uint64_t skip = first % kCodeBlock, some = std::min(n, kCodeBlock - skip);
    const uint8_t* packed = block(first - skip);
    if (bits_ == 8) {
      std::copy_n(packed + skip, some, out);
    } else if (some == kCodeBlock) {
      unpack_wide(packed, bits_, out);
    } else {
      std::array<uint16_t, kCodeBlock> codes;
      unpack_wide(packed, bits_, codes.data());
      std::copy_n(codes.data() + skip, some, out);
    }
    first += some;
    n -= some;
    out += some;
  }
}

}  // namespace pith::form
