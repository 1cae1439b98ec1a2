#include "panel.h"

#include <algorithm>
#include <array>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/panel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

// The codes of a row in a block, four to a number, as planes of so many bits: the row's part of
// each vector, `bytes` from one to the next.
template <int kBits>
HWY_INLINE void pack_row(const uint32_t* HWY_RESTRICT chunks, uint64_t bytes, uint8_t* out) {
  int first = 0;
  for (int width = 8; width > 0; width /= 2) {
    if (!(kBits & width)) continue;
    const uint32_t mask = 0x01010101u * ((1u << width) - 1);
    const int each = 8 / width;
    for (int z = 0; z < width; ++z, out += bytes) {
      uint32_t four = 0;
      for (int k = 0; k < each; ++k) {
        four |= (chunks[z * each + k] >> first & mask) << (k * width);
      }
      std::memcpy(out, &four, sizeof four);
    }
    first += width;
  }
}

HWY_INLINE void unpack_plane(const uint8_t* in, int width, int first, uint64_t bytes,
                             uint8_t* chunks) {
  const int each = 8 / width;
  const uint8_t mask = static_cast<uint8_t>((1 << width) - 1);
  for (int z = 0; z < width; ++z, in += bytes) {
    for (int k = 0; k < each; ++k) {
      uint8_t* chunk = chunks + static_cast<uint64_t>(z * each + k) * kChunk;
      for (uint64_t i = 0; i < bytes; ++i) {
        chunk[i] = static_cast<uint8_t>(chunk[i] | (in[i] >> (k * width) & mask) << first);
      }
    }
  }
}

template <int kBits>
void pack(const uint8_t* codes, uint64_t stride, uint64_t rows, uint64_t cols, uint8_t* packed) {
  const uint64_t bytes = 4 * rows;
  for (uint64_t at = 0; at < cols; at += kBlockCols, packed += bytes * kBits) {
    const uint64_t n = std::min(kBlockCols, cols - at);
    for (uint64_t r = 0; r < rows; ++r) {
      std::array<uint32_t, kChunks> chunks{};
      std::memcpy(chunks.data(), codes + r * stride + at, n);
      pack_row<kBits>(chunks.data(), bytes, packed + 4 * r);
    }
  }
}

void pack_bits(const uint8_t* codes, uint64_t stride, uint64_t rows, uint64_t cols, int bits,
               uint8_t* packed) {
  with_constant_bits(bits, [&](auto b) { pack<b()>(codes, stride, rows, cols, packed); });
}

void unpack(const Panel& panel, uint8_t* chunks) {
  const uint64_t bytes = 4 * panel.rows, blocks = panel_blocks(panel.cols);
  const uint8_t* in = panel.codes;
  std::fill_n(chunks, blocks * kChunks * kChunk, uint8_t{0});
  for (uint64_t b = 0; b < blocks; ++b, chunks += kChunks * kChunk) {
    int first = 0;
    for (int width = 8; width > 0; width /= 2) {
      if (!(panel.bits & width)) continue;
      unpack_plane(in, width, first, bytes, chunks);
      in += static_cast<uint64_t>(width) * bytes;
      first += width;
    }
  }
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(pack_bits);
HWY_EXPORT(unpack);

void pack_panel(const uint8_t* codes, uint64_t stride, uint64_t rows, uint64_t cols, int bits,
                uint8_t* packed) {
  HWY_DYNAMIC_DISPATCH(pack_bits)(codes, stride, rows, cols, bits, packed);
}

void unpack_panel(const Panel& panel, uint8_t* chunks) {
  HWY_DYNAMIC_DISPATCH(unpack)(panel, chunks);
}

}  // namespace pith::form
#endif
