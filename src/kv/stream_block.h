// One plane of a stream as bytes: steps, what is taken off the numbers, tables of the channels, and
// their codes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/form/matrix.h"
#include "pith/kv/stream.h"

namespace pith::kv {

// How the tokens of a plane are coded, the same for all planes of a stream.
struct Scheme {
  Deltas deltas = Deltas::kMean;
  uint64_t group = 10;
  uint64_t tokens = 0;
  bool grouped() const { return deltas >= Deltas::kPrevious; }
  // Tokens that begin a group, and the others; without groups all are others.
  uint64_t anchors() const { return grouped() ? (tokens + group - 1) / group : 0; }
  uint64_t others() const { return tokens - anchors(); }
};

// Codes of a plane, by channel: [channel][token].
struct PlaneCodes {
  std::vector<float> steps;   // of each channel
  std::vector<uint8_t> bits;  // of each channel, where the steps come from bits; else empty
  float unit = 1;             // the step of all, or what bits are halvings of
  float anchor_step = 0;
  std::vector<int32_t> means;  // of each channel, in steps; empty but for Deltas::kMean
  std::vector<int32_t> anchors, others;
};

// Of a plane's steps, which are in `codes` already.
void quantize(const form::Matrix& plane, const Scheme& scheme, PlaneCodes& codes);

// How often each symbol comes, those that are no symbols as entropy::kEscape.
using SymbolCounts = std::array<uint64_t, 256>;
void count_symbols(const int32_t* codes, uint64_t n, SymbolCounts& counts);
// The table that codes them in the fewest bits, and those, in units of 2^-16.
struct BestTable {
  uint8_t table = 0;
  uint64_t cost = 0;
};
BestTable best_table(const SymbolCounts& counts);

// Tables of each channel, first for anchors, then for the others; a part without tokens has none.
struct PlaneTables {
  std::vector<uint8_t> tables;
  uint64_t cost = 0;  // of all symbols, in units of 2^-16 bits
};
PlaneTables channel_tables(const PlaneCodes& codes, const Scheme& scheme);
// All channels alike.
void add_counts(const PlaneCodes& codes, std::array<SymbolCounts, 2>& counts);
PlaneTables same_tables(const PlaneCodes& codes, const Scheme& scheme,
                        const std::array<SymbolCounts, 2>& counts);

Bytes write_plane(const PlaneCodes& codes, const Scheme& scheme, const PlaneTables& tables);

// What write_plane() wrote, up to numbers. deviations: of each channel, where bits may be; empty
// where not. Throws ErrorKind::kData.
class PlaneReader {
 public:
  PlaneReader(ByteView bytes, const Scheme& scheme, uint64_t channels,
              const std::vector<float>& deviations);
  PlaneReader(const PlaneReader&) = delete;
  PlaneReader& operator=(const PlaneReader&) = delete;
  // Channels from 0 on that are not all zero.
  uint64_t used() const;
  // Numbers of channels first … first + count - 1, [token][channel].
  void restore(uint64_t first, uint64_t count, float* out) const;

 private:
  struct Escape {
    bool anchor;
    uint64_t channel, row;
    int32_t code;
  };
  void read_steps(ByteReader& from, const std::vector<float>& deviations);
  void read_codes(ByteReader& from);
  void restore_grouped(uint64_t first, uint64_t count, const uint8_t* anchors,
                       const uint8_t* others, float* out) const;
  void patch(bool anchor, uint64_t row, uint64_t first, uint64_t count, const float* from,
             float* out) const;

  Scheme scheme_;
  uint64_t channels_;
  std::vector<float> steps_, means_, anchor_steps_;
  std::vector<uint8_t> tables_, symbols_;
  std::vector<const uint8_t*> anchor_rows_, other_rows_;  // of each channel
  std::vector<Escape> escapes_;                           // by row
};

// Steps of channels with so many bits each: none at all for 0, else `unit` deviations halved so
// often.
std::vector<float> steps_of_bits(const std::vector<uint8_t>& bits, float unit,
                                 const std::vector<float>& deviations);

}  // namespace pith::kv
