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

// Loops over whole chunks, which compilers turn into vectors of each target.
using Chunks = std::array<std::array<uint8_t, kChunk>, kChunks>;

HWY_INLINE void pack_plane(const Chunks& in, int width, int first, uint64_t bytes, uint8_t* out) {
  const int each = 8 / width;
  const uint8_t mask = static_cast<uint8_t>((1 << width) - 1);
  for (int z = 0; z < width; ++z, out += bytes) {
    for (uint64_t i = 0; i < bytes; ++i) out[i] = 0;
    for (int k = 0; k < each; ++k) {
      const auto& chunk = in[static_cast<size_t>(z * each + k)];
      for (uint64_t i = 0; i < bytes; ++i) {
        out[i] = static_cast<uint8_t>(out[i] | (chunk[i] >> first & mask) << (k * width));
      }
    }
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

void pack(const uint8_t* codes, uint64_t stride, uint64_t rows, uint64_t cols, int bits,
          uint8_t* packed) {
  const uint64_t bytes = 4 * rows;
  Chunks chunks{};
  for (uint64_t at = 0; at < cols; at += kBlockCols) {
    const uint64_t n = std::min(kBlockCols, cols - at);
    for (uint64_t r = 0; r < rows; ++r) {
      std::array<uint8_t, kBlockCols> row{};
      std::memcpy(row.data(), codes + r * stride + at, n);
      for (uint64_t q = 0; q < kChunks; ++q) std::memcpy(&chunks[q][4 * r], &row[4 * q], 4);
    }
    int first = 0;
    for (int width = 8; width > 0; width /= 2) {
      if (!(bits & width)) continue;
      pack_plane(chunks, width, first, bytes, packed);
      packed += static_cast<uint64_t>(width) * bytes;
      first += width;
    }
  }
}

void unpack(const Panel& panel, uint8_t* chunks) {
  const uint64_t bytes = 4 * panel.rows, blocks = panel_blocks(panel.cols);
  const uint8_t* in = panel.codes;
  std::memset(chunks, 0, blocks * kChunks * kChunk);
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

HWY_EXPORT(pack);
HWY_EXPORT(unpack);

void pack_panel(const uint8_t* codes, uint64_t stride, uint64_t rows, uint64_t cols, int bits,
                uint8_t* packed) {
  HWY_DYNAMIC_DISPATCH(pack)(codes, stride, rows, cols, bits, packed);
}

void unpack_panel(const Panel& panel, uint8_t* chunks) {
  HWY_DYNAMIC_DISPATCH(unpack)(panel, chunks);
}

}  // namespace pith::form
#endif
