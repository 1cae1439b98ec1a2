#include "codes.h"

#include <algorithm>
#include <array>

namespace pith::form {
namespace {

// Calls f(width, first bit) for each plane, widest first; the widest holds the low bits.
template <class Function>
void for_each_plane(int bits, Function&& f) {
  int first = 0;
  for (int width = 8; width > 0; width /= 2) {
    if (!(bits & width)) continue;
    f(width, first);
    first += width;
  }
}

}  // namespace

void pack_block(const uint8_t* codes, int bits, uint8_t* packed) {
  for_each_plane(bits, [&](int width, int first) {
    const int n = 8 * width, mask = (1 << width) - 1;
    for (int j = 0; j < n; ++j) {
      int byte = 0;
      for (int k = 0; k * width < 8; ++k) byte |= (codes[j + k * n] >> first & mask) << (k * width);
      packed[j] = static_cast<uint8_t>(byte);
    }
    packed += n;
  });
}

void unpack_block(const uint8_t* packed, int bits, uint8_t* codes) {
  std::fill_n(codes, kCodeBlock, uint8_t{0});
  for_each_plane(bits, [&](int width, int first) {
    const int n = 8 * width, mask = (1 << width) - 1;
    for (int k = 0; k * width < 8; ++k) {
      for (int j = 0; j < n; ++j) {
        codes[j + k * n] |= static_cast<uint8_t>((packed[j] >> (k * width) & mask) << first);
      }
    }
    packed += n;
  });
}

void pack_row(const uint8_t* codes, uint64_t n, int bits, uint8_t* packed) {
  for (uint64_t at = 0; at < n; at += kCodeBlock, packed += 8 * bits) {
    if (n - at >= kCodeBlock) {
      pack_block(codes + at, bits, packed);
    } else {
      std::array<uint8_t, kCodeBlock> last{};
      std::copy_n(codes + at, n - at, last.begin());
      pack_block(last.data(), bits, packed);
    }
  }
}

void unpack_row(const uint8_t* packed, uint64_t n, int bits, uint8_t* codes) {
  for (uint64_t at = 0; at < n; at += kCodeBlock, packed += 8 * bits) {
    if (n - at >= kCodeBlock) {
      unpack_block(packed, bits, codes + at);
    } else {
      std::array<uint8_t, kCodeBlock> last;
      unpack_block(packed, bits, last.data());
      std::copy_n(last.begin(), n - at, codes + at);
    }
  }
}

}  // namespace pith::form
