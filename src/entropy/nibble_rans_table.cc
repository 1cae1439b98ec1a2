#include "nibble_rans_table.h"

#include <algorithm>
#include <limits>

namespace pith::entropy {
namespace {

// What an escape stream adds to the entropy of its symbols: bits, and a share of 2^-kEscapeShare.
constexpr uint64_t kEscapeOverhead = 96;
constexpr int kEscapeShare = 3;

// kGain[q] = log2((q + 1) / q) in units of 2^-16.
const std::array<uint32_t, 257>& gains() {
  static const auto table = [] {
    std::array<uint32_t, 257> t{};
    for (uint32_t q = 1; q <= 256; ++q) t[q] = log2_q16(q + 1) - log2_q16(q);
    return t;
  }();
  return table;
}

struct Ranked {
  uint32_t used = 0;  // symbols that occur
  uint64_t total = 0;
  std::array<uint8_t, 256> symbol{};  // the used ones, by falling count, then rising symbol
  std::array<uint32_t, 256> count{};
};

Ranked rank(const Histogram& counts) {
  Ranked r;
  std::array<uint64_t, 256> key;
  for (uint32_t v = 0; v < 256; ++v) {
    if (counts[v] > 0) key[r.used++] = uint64_t{counts[v]} << 8 | (255 - v);
    r.total += counts[v];
  }
  std::sort(key.begin(), key.begin() + r.used, std::greater<>());
  for (uint32_t i = 0; i < r.used; ++i) {
    r.symbol[i] = static_cast<uint8_t>(255 - (key[i] & 0xff));
    r.count[i] = static_cast<uint32_t>(key[i] >> 8);
  }
  return r;
}

using Frequencies = std::array<uint16_t, kNibbleEntries>;
using Weights = std::array<uint64_t, kNibbleEntries>;

// Frequencies of at least 1 with the sum 256 that code `weight` (m >= 2 entries) in the fewest
// bits.
Frequencies quantize(const Weights& weight, uint32_t m, uint64_t total) {
  const auto& gain = gains();
  Frequencies f{};
  uint32_t sum = 0;
  for (uint32_t i = 0; i < m; ++i) {
    f[i] = static_cast<uint16_t>(std::max<uint64_t>(1, weight[i] * kNibbleTotal / total));
    sum += f[i];
  }
  for (; sum < kNibbleTotal; ++sum) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < m; ++i) {
      if (weight[i] * gain[f[i]] > weight[best] * gain[f[best]]) best = i;
    }
    ++f[best];
  }
  for (; sum > kNibbleTotal; --sum) {
    uint64_t least = std::numeric_limits<uint64_t>::max();
    uint32_t best = 0;
    for (uint32_t i = 0; i < m; ++i) {
      if (f[i] > 1 && weight[i] * gain[f[i] - 1u] < least) {
        least = weight[i] * gain[f[i] - 1u];
        best = i;
      }
    }
    --f[best];
  }
  uint16_t& largest = *std::max_element(f.begin(), f.begin() + m);
  uint16_t& other = &largest == &f[0] ? f[1] : f[0];
  for (; !nibble_divisible(largest); --largest) ++other;
  return f;
}

unsigned table_bits(const NibbleTable& t) {
  unsigned bits = 5 + 8 + 2 * t.direct;
  for (uint32_t i = 0; i + 1 < t.entries(); ++i) bits += gamma_bits(t.frequency[i]);
  return bits;
}

// Direct entries in the order of the format. Rounding may have put equals or neighbours wrong.
void sort_entries(NibbleTable& t) {
  std::array<uint32_t, kNibbleEntries> key{};
  for (uint32_t i = 0; i < t.direct; ++i) key[i] = (256u - t.frequency[i]) << 8 | t.symbol[i];
  std::sort(key.begin(), key.begin() + t.direct);
  for (uint32_t i = 0; i < t.direct; ++i) {
    t.frequency[i] = static_cast<uint16_t>(256 - (key[i] >> 8));
    t.symbol[i] = static_cast<uint8_t>(key[i]);
  }
}

struct Candidate {
  NibbleTable table;
  uint64_t cost;
};

// The table with the first `direct` symbols of `r` and an escape for the others.
Candidate make_table(const Ranked& r, uint32_t direct) {
  NibbleTable t;
  t.direct = direct;
  t.escape = direct < r.used;
  std::copy_n(r.symbol.begin(), direct, t.symbol.begin());
  Weights weight{};
  std::copy_n(r.count.begin(), direct, weight.begin());
  uint64_t cost = 0;
  for (uint32_t i = direct; i < r.used; ++i) {
    weight[direct] += r.count[i];
    cost -= uint64_t{r.count[i]} * log2_q16(r.count[i]);
  }
  if (t.escape) {
    cost += weight[direct] * log2_q16(static_cast<uint32_t>(weight[direct]));
    cost += cost >> kEscapeShare;
    cost += kEscapeOverhead << 16;
  }
  if (t.constant()) {
    t.frequency[0] = kNibbleTotal;
  } else {
    t.frequency = quantize(weight, t.entries(), r.total);
  }
  for (uint32_t i = 0; i < t.entries(); ++i) {
    cost += weight[i] * ((8u << 16) - log2_q16(t.frequency[i]));
  }
  sort_entries(t);
  return {t, cost + (uint64_t{table_bits(t)} << 16)};
}

}  // namespace

NibbleTable choose_nibble_table(const Histogram& counts, uint64_t* cost) {
  const Ranked r = rank(counts);
  // Symbols rarer than 1/256 waste a slot each: somewhere about there direct coding stops paying.
  uint32_t natural = 0;
  while (natural < r.used && natural < 15 && uint64_t{r.count[natural]} * 256 >= r.total) ++natural;
  Candidate best{{}, std::numeric_limits<uint64_t>::max()};
  const auto consider = [&](uint32_t direct) {
    const Candidate c = make_table(r, direct);
    if (c.cost < best.cost) best = c;
  };
  const uint32_t last = std::min({natural + 1, 15u, r.used});
  for (uint32_t k = std::max(natural, 4u) - 3; k <= last; ++k) consider(k);
  if (r.used <= kNibbleEntries && r.used > last) consider(r.used);
  if (cost != nullptr) *cost = best.cost;
  return best.table;
}

void write_nibble_table(const NibbleTable& t, BitWriter& out) {
  out.put(t.direct - 1, 4);
  out.put(t.escape ? 1 : 0, 1);
  std::array<uint32_t, kNibbleEntries> order{};  // symbol << 8 | entry, by rising symbol
  for (uint32_t i = 0; i < t.direct; ++i) order[i] = uint32_t{t.symbol[i]} << 8 | i;
  std::sort(order.begin(), order.begin() + t.direct);
  for (uint32_t i = 0; i < t.direct; ++i) {
    const uint32_t symbol = order[i] >> 8;
    if (i == 0) {
      out.put(symbol, 8);
    } else {
      out.gamma(symbol - (order[i - 1] >> 8));
    }
  }
  for (uint32_t i = 0; i + 1 < t.entries(); ++i) out.gamma(t.frequency[order[i] & 0xff]);
}

NibbleTable read_nibble_table(BitReader& in) {
  NibbleTable t;
  t.direct = in.get(4) + 1;
  t.escape = in.get(1) != 0;
  if (t.entries() > kNibbleEntries) in.bad("a table of more than 16 entries");
  uint32_t symbol = 0;
  for (uint32_t i = 0; i < t.direct; ++i) {
    const uint32_t step = i == 0 ? in.get(8) : in.gamma();
    if (step > 255 - symbol) in.bad("a symbol above 255");
    t.symbol[i] = static_cast<uint8_t>(symbol += step);
  }
  uint32_t left = kNibbleTotal;
  for (uint32_t i = 0; i + 1 < t.entries(); ++i) {
    const uint32_t f = in.gamma();
    if (f >= left) in.bad("the frequencies of a table exceed 256");
    t.frequency[i] = static_cast<uint16_t>(f);
    left -= f;
  }
  t.frequency[t.entries() - 1] = static_cast<uint16_t>(left);
  sort_entries(t);
  return t;
}

}  // namespace pith::entropy
