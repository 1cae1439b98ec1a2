#include "byte_rans_table.h"

#include <algorithm>

namespace pith::entropy {
namespace {

uint64_t weight_of(uint32_t grade, unsigned precision) {
  if (grade == 0) return 0;
  const uint32_t steps = 1u << precision;
  return uint64_t{steps + (grade - 1) % steps} << ((grade - 1) / steps);
}

// The grade whose weight is nearest to `weight`.
uint32_t grade_of(uint64_t weight, unsigned precision) {
  const uint32_t steps = 1u << precision;
  if (2 * weight < steps) return 0;
  if (weight < steps) return 1;
  const auto e = static_cast<unsigned>(std::bit_width(weight) - 1) - precision;
  const uint64_t half = e == 0 ? 0 : uint64_t{1} << (e - 1);
  // A mantissa rounded up to 2 * steps is the first grade of the next exponent.
  const auto grade = static_cast<uint32_t>(e * steps + (((weight + half) >> e) - steps) + 1);
  return std::min(grade, max_grade(precision));
}

// More symbols are worth finer probabilities.
unsigned precision_for(uint64_t total, uint32_t used) {
  const uint64_t per_symbol = total / used;
  return per_symbol < 24 ? 1 : per_symbol < 200 ? 2 : per_symbol < 1600 ? 3 : 4;
}

constexpr unsigned kRiceBits = 3;  // width of the field of the Rice parameter

uint32_t zigzag(int d) {
  return d < 0 ? static_cast<uint32_t>(-2 * d - 1) : static_cast<uint32_t>(2 * d);
}
int unzigzag(uint32_t z) {
  return (z & 1) != 0 ? -static_cast<int>(z >> 1) - 1 : static_cast<int>(z >> 1);
}

// Differences of neighbouring grades; the first is from 0.
std::array<uint32_t, 256> grade_steps(const ByteGrades& g) {
  std::array<uint32_t, 256> steps{};
  int before = 0;
  for (uint32_t i = 0; i < g.used; ++i) {
    steps[i] = zigzag(g.grade[i] - before);
    before = g.grade[i];
  }
  return steps;
}

unsigned best_rice(const std::array<uint32_t, 256>& steps, uint32_t n) {
  unsigned best = 0;
  uint64_t least = UINT64_MAX;
  for (unsigned k = 0; k < (1u << kRiceBits); ++k) {
    uint64_t bits = uint64_t{n} * (k + 1);
    for (uint32_t i = 0; i < n; ++i) bits += steps[i] >> k;
    if (bits < least) {
      least = bits;
      best = k;
    }
  }
  return best;
}

std::array<bool, 256> used_set(const ByteGrades& g) {
  std::array<bool, 256> used{};
  for (uint32_t i = 0; i < g.used; ++i) used[g.symbol[i]] = true;
  return used;
}

// Calls f(length) for the runs of equal flags, beginning with absent symbols (length 0 allowed).
template <class F>
void each_run(const std::array<bool, 256>& used, F f) {
  bool present = false;
  for (uint32_t v = 0; v < 256; present = !present) {
    const uint32_t start = v;
    while (v < 256 && used[v] == present) ++v;
    f(v - start);
  }
}

void write_symbols(const ByteGrades& g, BitWriter& out) {
  const auto used = used_set(g);
  uint32_t bits = 0;
  each_run(used, [&](uint32_t n) { bits += gamma_bits(n + 1); });
  out.put(bits < 256 ? 1 : 0, 1);
  if (bits < 256) {
    each_run(used, [&](uint32_t n) { out.gamma(n + 1); });
  } else {
    for (const bool u : used) out.put(u ? 1 : 0, 1);
  }
}

void read_symbols(BitReader& in, ByteGrades& g) {
  const bool runs = in.get(1) != 0;
  if (!runs) {
    for (uint32_t v = 0; v < 256; ++v) {
      if (in.get(1) != 0) g.symbol[g.used++] = static_cast<uint8_t>(v);
    }
  } else {
    bool present = false;
    for (uint32_t v = 0, n; v < 256; v += n, present = !present) {
      n = in.gamma() - 1;
      if (n > 256 - v || (n == 0 && v > 0)) in.bad("a run of symbols of impossible length");
      for (uint32_t i = 0; present && i < n; ++i) g.symbol[g.used++] = static_cast<uint8_t>(v + i);
    }
  }
  if (g.used == 0) in.bad("a table without symbols");
}

}  // namespace

ByteGrades choose_byte_grades(const Histogram& counts) {
  ByteGrades g;
  uint64_t total = 0;
  for (uint32_t v = 0; v < 256; ++v) {
    if (counts[v] > 0) g.symbol[g.used++] = static_cast<uint8_t>(v);
    total += counts[v];
  }
  g.precision = precision_for(total, g.used);
  for (uint32_t i = 0; i < g.used; ++i) {
    // One slot is there anyway; the rest in units of 2^-precision slots.
    const uint64_t share = (uint64_t{counts[g.symbol[i]]} << (kByteTotalLog + g.precision)) / total;
    const uint64_t slot = uint64_t{1} << g.precision;
    g.grade[i] = static_cast<uint8_t>(grade_of(share > slot ? share - slot : 0, g.precision));
  }
  return g;
}

ByteTable byte_table(const ByteGrades& g) {
  ByteTable t;
  t.used = g.used;
  t.first = g.symbol[0];
  uint64_t whole = 0;
  for (uint32_t i = 0; i < g.used; ++i) whole += weight_of(g.grade[i], g.precision);
  const uint32_t shared = kByteTotal - g.used;
  uint64_t sum = 0, given = 0;
  for (uint32_t i = 0; i < g.used; ++i) {
    sum += whole == 0 ? 1 : weight_of(g.grade[i], g.precision);
    const uint64_t until = sum * shared / (whole == 0 ? g.used : whole);
    t.frequency[g.symbol[i]] = static_cast<uint16_t>(1 + until - given);
    given = until;
  }
  return t;
}

void write_byte_grades(const ByteGrades& g, BitWriter& out) {
  write_symbols(g, out);
  if (g.used == 1) return;
  const auto steps = grade_steps(g);
  const unsigned rice = best_rice(steps, g.used);
  out.put(g.precision - 1, 2);
  out.put(rice, kRiceBits);
  for (uint32_t i = 0; i < g.used; ++i) {
    for (uint32_t q = steps[i] >> rice; q > 0; --q) out.put(0, 1);
    out.put(1, 1);
    out.put(steps[i] & ((1u << rice) - 1), rice);
  }
}

ByteGrades read_byte_grades(BitReader& in) {
  ByteGrades g;
  read_symbols(in, g);
  if (g.used == 1) return g;
  g.precision = in.get(2) + 1;
  const unsigned rice = in.get(kRiceBits);
  const auto most = static_cast<int>(max_grade(g.precision));
  int grade = 0;
  for (uint32_t i = 0; i < g.used; ++i) {
    uint32_t q = 0;
    while (in.get(1) == 0) {
      if (++q > 512) in.bad("a frequency out of range");
    }
    grade += unzigzag(q << rice | in.get(rice));
    if (grade < 0 || grade > most) in.bad("a frequency out of range");
    g.grade[i] = static_cast<uint8_t>(grade);
  }
  return g;
}

}  // namespace pith::entropy
