// The codes of a panel as a stream of rANS (Duda 2013; interleaved: Giesen 2014).
//
// Column c belongs to lane c mod lanes, a power of two; rows follow each other. A lane's state is
// in [2^16, 2^32) between codes. With f the frequency of a symbol whose slots begin at s, and b the
// low bits of the code's class, coding turns x into
//   (x / f) << (12 + b) | (s + x mod f) << b | low bits,
// after the low 16 bits of x have gone to the stream if x >= f << (20 - b). Escaped codes lie in
// the stream as they are, after the words that the 16 columns around them need. The stream is the
// lanes' states (32 bits each), then 16-bit words in the order in which a decoder takes them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "integer_levels.h"
#include "integer_tables.h"
#include "pith/base/bytes.h"

namespace pith::form {

inline constexpr uint64_t kIntegerLanes = 32;        // at most
inline constexpr uint64_t kIntegerGroup = 16;        // columns whose words lie together
inline constexpr uint32_t kIntegerStart = 1u << 16;  // state of lanes before encoding

// Of a panel with so many codes. Each lane costs about 24 bits, and more of them are faster.
constexpr uint64_t integer_lanes(uint64_t codes) {
  const uint64_t few = std::clamp<uint64_t>(std::bit_floor(codes / 4096), 1, 8);
  return std::clamp<uint64_t>(std::bit_floor(codes / 8192), few, kIntegerLanes);
}

// What all panels share, for decoders.
struct IntegerDecodeTables {
  explicit IntegerDecodeTables(const IntegerTables& tables);
  // By table and slot: (frequency - 1) | (slot - first slot of the symbol) << 12 | symbol << 24.
  std::vector<uint32_t> slots;
  // Of classes, in even and in odd states; to 64 so that kernels can look them up.
  alignas(64) std::array<std::array<uint8_t, 64>, 2> of{};
  alignas(64) std::array<uint8_t, 64> low_bits{};
  // Both: low bits | table << 3, in even states and then in odd ones.
  std::array<int32_t, 128> sorts{};
};

// Rows of a panel, one after the other.
class IntegerPanelDecoder {
 public:
  struct Source {
    const IntegerTrellis* trellis;
    const IntegerDecodeTables* tables;
    const IntegerClasses* classes;
    const IntegerScales* scales;
    uint64_t cols;
  };
  // `stream` begins with the states. Throws ErrorKind::kData when it is too short for them.
  IntegerPanelDecoder(const Source& source, uint64_t first_row, uint64_t rows, ByteView stream);

  // The next n rows as floats; null: they are passed over. After the last row of the panel
  // ErrorKind::kData is thrown unless all of the stream was used up.
  void next(uint64_t n, float* out);

 private:
  void row(float* out);
  // Columns from `column` on, at most kIntegerGroup of one row.
  void group(uint64_t row, uint64_t column, uint64_t n, float* out);
  void expect_end() const;

  Source source_;
  uint64_t row_, end_row_, lanes_;
  alignas(64) std::array<uint32_t, kIntegerLanes> lane_;
  const uint8_t *in_, *in_end_;
  std::vector<uint8_t> states_;  // of the trellis, by column
};

// The codes of a panel, column by column of kPanelRows each, as a stream.
Bytes encode_integer_panel(const IntegerTrellis& trellis, const IntegerTables& tables,
                           const IntegerClasses& classes, uint64_t first_row, uint64_t rows,
                           uint64_t cols, const int16_t* codes);

}  // namespace pith::form
