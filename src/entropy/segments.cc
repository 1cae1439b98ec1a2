#include "segments.h"

#include <algorithm>

namespace pith::entropy {
namespace {

struct Cost {
  uint64_t entropy = 0;  // sum c * log2(total / c), in units of 2^-16 bits
  uint32_t used = 0;
};

// Over the symbols that occur anywhere in the stream.
Cost cost_of(const Histogram& counts, ByteView alphabet) {
  uint64_t total = 0, sum = 0;
  Cost cost;
  for (const uint8_t v : alphabet) {
    total += counts[v];
    sum += uint64_t{counts[v]} * log2_q16(counts[v]);
    cost.used += counts[v] > 0;
  }
  const uint64_t whole = total * log2_q16(static_cast<uint32_t>(total));
  cost.entropy = whole > sum ? whole - sum : 0;
  return cost;
}

std::vector<SegmentCounts> count_units(ByteView symbols, size_t unit) {
  std::vector<SegmentCounts> units((symbols.size() + unit - 1) / unit);
  for (size_t u = 0; u < units.size(); ++u) {
    units[u].units = 1;
    histogram(symbols.subspan(u * unit, std::min(unit, symbols.size() - u * unit)),
              units[u].counts);
  }
  return units;
}

Bytes alphabet_of(const std::vector<SegmentCounts>& units) {
  Bytes alphabet;
  for (size_t v = 0; v < 256; ++v) {
    if (std::any_of(units.begin(), units.end(), [v](const auto& u) { return u.counts[v] > 0; })) {
      alphabet.push_back(static_cast<uint8_t>(v));
    }
  }
  return alphabet;
}

}  // namespace

std::vector<SegmentCounts> split_segments(ByteView symbols, size_t unit, TableCost cost) {
  std::vector<SegmentCounts> segments = count_units(symbols, unit);
  const Bytes alphabet = alphabet_of(segments);
  size_t last = 0;  // the segment that grows; those behind it are units still to be looked at
  Cost last_cost = cost_of(segments[0].counts, alphabet);
  for (size_t u = 1; u < segments.size(); ++u) {
    Histogram both = segments[last].counts;
    for (const uint8_t v : alphabet) both[v] += segments[u].counts[v];
    const Cost alone = cost_of(segments[u].counts, alphabet), together = cost_of(both, alphabet);
    const uint32_t fewer = last_cost.used + alone.used - together.used;
    const uint64_t saved = cost.fixed + uint64_t{cost.per_symbol} * fewer;
    if (together.entropy <= last_cost.entropy + alone.entropy + (saved << 16)) {
      segments[last].counts = both;
      ++segments[last].units;
      last_cost = together;
    } else {
      segments[++last] = segments[u];
      last_cost = alone;
    }
  }
  segments.resize(last + 1);
  return segments;
}

}  // namespace pith::entropy
