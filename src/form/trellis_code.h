// The computed code of trellises: a hash of the window whose four bytes add up to nearly a normal
// variable (QTIP's "1MAD", Tseng et al. 2024).
#pragma once

#include <cstdint>

namespace pith::form {

inline constexpr uint32_t kTrellisFactor = 34038481, kTrellisOffset = 76625530;
// The middle of the sums, and what they are divided by: a power of two, so that values are exact.
inline constexpr int32_t kTrellisMiddle = 510;
inline constexpr float kTrellisUnit = 0x1p-7f;

// Of mean about 0 and deviation about 1.155.
constexpr float trellis_value(uint32_t window) {
  const uint32_t x = window * kTrellisFactor + kTrellisOffset;
  const uint32_t pairs = (x & 0x00FF00FF) + (x >> 8 & 0x00FF00FF);
  const uint32_t sum = (pairs + (pairs >> 16)) & 0xFFFF;
  return static_cast<float>(static_cast<int32_t>(sum) - kTrellisMiddle) * kTrellisUnit;
}

inline constexpr int kMostTrellisBits = 6, kMostTrellisWindow = 16;
// A window has at least so many bits more than an element.
inline constexpr int kLeastTrellisMemory = 4;

struct TrellisRow {
  const uint8_t* codes;
  const uint8_t* end;  // of all bytes there are: nothing beyond is read
  int bits, window;
};

// Elements begin <= i < begin + n of a row; begin is a multiple of 16.
void decode_trellis(const TrellisRow& row, uint64_t begin, uint64_t n, float* out);

}  // namespace pith::form
