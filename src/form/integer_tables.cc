#include "integer_tables.h"

#include <bit>
#include <cmath>

namespace pith::form {
namespace {

// A grade stands for a share of the slots: 0 for none (the symbol does not occur), 1 for a single
// slot, g >= 2 for a slot and (2^precision + m) << e parts of what is left when every symbol has
// its slot, with m = (g - 2) mod 2^precision and e = (g - 2) / 2^precision.
constexpr int kMostPrecision = 5;
constexpr int kMostExponent = kIntegerTotalLog;
constexpr int most_grade(int precision) { return ((kMostExponent + 1) << precision) + 1; }

uint64_t weight_of(int grade, int precision) {
  if (grade < 2) return 0;
  const int steps = 1 << precision;
  return static_cast<uint64_t>(steps + (grade - 2) % steps) << ((grade - 2) / steps);
}

// Nearest for `weight`, in units of 2^-precision slots.
int grade_of(uint64_t weight, int precision) {
  const uint64_t steps = uint64_t{1} << precision;
  if (2 * weight < steps) return 1;
  if (weight < steps) return 2;
  const int e = std::bit_width(weight) - 1 - precision;
  const uint64_t half = e == 0 ? 0 : uint64_t{1} << (e - 1);
  const auto above = static_cast<int>((weight + half) >> e) - (1 << precision);
  return std::min(e * (1 << precision) + above + 2, most_grade(precision));
}

struct Grades {
  int precision = 0;
  int below = 0, above = 0;  // symbols -below to above may occur
  std::array<int, 256> grade{};
};

Grades grades_of(const IntegerCounts& counts, int precision) {
  Grades g{precision, 0, 0, {}};
  uint64_t total = 0;
  for (int s = -kMostSymbol; s <= kMostSymbol; ++s) {
    if (counts[symbol_place(s)] == 0) continue;
    g.below = std::max(g.below, -s);
    g.above = std::max(g.above, s);
  }
  for (const uint64_t c : counts) total += c;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double share = std::ldexp(static_cast<double>(counts[i]) / static_cast<double>(total),
                                    kIntegerTotalLog + precision);
    const double slot = std::ldexp(1.0, precision);
    g.grade[i] = grade_of(share > slot ? static_cast<uint64_t>(share - slot) : 0, precision);
  }
  return g;
}

// In rising order of symbols each has a slot, and the rest goes by weight. A table without symbols
// has zeros only.
IntegerFrequencies frequencies_of(Grades g) {
  uint64_t used = 0, whole = 0;
  for (const int grade : g.grade) used += grade > 0 ? 1 : 0;
  if (used == 0) {
    used = 1;
    g.grade[symbol_place(0)] = 1;
  }
  for (const int grade : g.grade) whole += weight_of(grade, g.precision);
  const uint64_t shared = kIntegerTotal - used;
  IntegerFrequencies out{};
  uint64_t sum = 0, given = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    if (g.grade[i] == 0) continue;
    sum += whole == 0 ? 1 : weight_of(g.grade[i], g.precision);
    const uint64_t until = sum * shared / (whole == 0 ? used : whole);
    out[i] = static_cast<uint16_t>(1 + until - given);
    given = until;
  }
  return out;
}

// How grades are told from those before: outwards from zero, where a symbol resembles its mirror
// image, and else what its neighbours let expect.
struct GradeModels {
  IntegerModel range, asymmetry, first, outwards[kMostPrecision + 1], mirrored[kMostPrecision + 1],
      escape;
};

template <class Coder>
void code_grades(SideCoder<Coder>& coder, GradeModels& models, Grades& g) {
  const auto value = [&](int v, int expected, IntegerModel& model) {
    const int64_t coded = coder.integer(v - expected, model) + expected;
    return static_cast<int>(std::clamp<int64_t>(coded, 0, most_grade(g.precision)));
  };
  g.precision = static_cast<int>(coder.fair_bits(static_cast<uint32_t>(g.precision), 3));
  g.precision = std::min(g.precision, kMostPrecision);
  const auto limited = [](int64_t n) {
    return static_cast<int>(std::clamp<int64_t>(n, 0, kMostSymbol));
  };
  g.above = limited(coder.integer(g.above, models.range));
  g.below = limited(coder.integer(g.below - g.above, models.asymmetry) + g.above);
  auto& grade = g.grade;
  const auto precision = static_cast<size_t>(g.precision);
  grade[0] = value(grade[0], 0, models.escape);
  const auto at = [&](int s) -> int& { return grade[symbol_place(s)]; };
  at(0) = value(at(0), (kIntegerTotalLog - 1) << g.precision, models.first);
  for (int k = 1; k <= std::max(g.above, g.below); ++k) {
    const int before = at(k - 1), slope = k > 1 ? at(k - 1) - at(k - 2) : 0;
    if (k <= g.above) at(k) = value(at(k), std::max(1, before + slope), models.outwards[precision]);
    const int image =
        k <= g.above ? at(k) : std::max(1, at(1 - k) + (k > 1 ? at(1 - k) - at(2 - k) : 0));
    if (k <= g.below) at(-k) = value(at(-k), image, models.mirrored[precision]);
  }
}

// What occurs more rarely than this is escaped rather than given a slot.
constexpr uint64_t kRare = 40000;

IntegerCounts without_rare(IntegerCounts counts) {
  uint64_t total = 0;
  for (const uint64_t c : counts) total += c;
  uint64_t& escapes = counts[symbol_place(kIntegerEscape)];
  for (int s = -kMostSymbol; s <= kMostSymbol; ++s) {
    uint64_t& c = counts[symbol_place(s)];
    if (c == 0 || c >= total / kRare) continue;
    escapes += c;
    c = 0;
  }
  return counts;
}

// Bits of symbols with these counts.
double coded_bits(const IntegerCounts& counts, const IntegerFrequencies& table) {
  double bits = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0)
      bits += static_cast<double>(counts[i]) *
              (kIntegerTotalLog - std::log2(static_cast<double>(table[i])));
  }
  return bits;
}

// As it would be by itself.
double table_bits(Grades g) {
  entropy::BinaryCost cost;
  SideCoder<entropy::BinaryCost> coder(cost);
  GradeModels models;
  code_grades(coder, models, g);
  return static_cast<double>(cost.cost()) / 4096;
}

Grades best_grades(const IntegerCounts& counts) {
  Grades best;
  double least = INFINITY;
  for (int precision = 0; precision <= kMostPrecision; ++precision) {
    const Grades g = grades_of(counts, precision);
    // Models that have seen other tables know what to expect.
    const double bits = coded_bits(counts, frequencies_of(g)) + 0.7 * table_bits(g);
    if (bits >= least) continue;
    least = bits;
    best = g;
  }
  return best;
}

// Quick and near: entropy, and a few bits for each symbol of a table.
double estimate(const IntegerCounts& counts) {
  uint64_t total = 0;
  for (const uint64_t c : counts) total += c;
  if (total == 0) return 0;
  double bits = 10;
  for (const uint64_t c : counts) {
    if (c == 0) continue;
    bits += static_cast<double>(c) * std::log2(static_cast<double>(total) / static_cast<double>(c));
    bits += std::min(6.0, 1.5 + 0.25 * std::bit_width(c));
  }
  return bits;
}

void add(IntegerCounts& to, const IntegerCounts& more) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += more[i];
}

// Neighbouring classes that may have tables together.
struct ClassRange {
  int last = 0;
  IntegerCounts even{}, odd{};
  bool split = false;
  double bits = 0;

  void choose() {
    IntegerCounts both = even;
    add(both, odd);
    const double one = estimate(both), two = estimate(even) + estimate(odd);
    split = two < one;
    bits = 1 + std::min(one, two);
  }
};

ClassRange joined(const ClassRange& a, const ClassRange& b) {
  ClassRange r = a;
  r.last = b.last;
  add(r.even, b.even);
  add(r.odd, b.odd);
  r.choose();
  return r;
}

template <class Coder>
void code_plan(SideCoder<Coder>& coder, IntegerPlan& plan) {
  plan.first = static_cast<int>(coder.fair_bits(static_cast<uint32_t>(plan.first), 6));
  plan.first = std::min(plan.first, kIntegerClasses - 1);
  const int last = SideCoder<Coder>::kDecodes ? 0 : plan.groups.back().last;
  int until = static_cast<int>(coder.fair_bits(static_cast<uint32_t>(last), 6));
  until = std::clamp(until, plan.first, kIntegerClasses - 1);
  entropy::AdaptiveBit ends, splits;
  size_t g = 0;
  for (int k = plan.first; k <= until; ++k) {
    const bool ending = g < plan.groups.size() && plan.groups[g].last == k;
    if (k < until && coder.bit(ending, ends) == 0) continue;
    const bool split = coder.bit(g < plan.groups.size() && plan.groups[g].split, splits) != 0;
    if (SideCoder<Coder>::kDecodes) plan.groups.push_back({k, split});
    ++g;
  }
}

// Which tables there are, by the plan; what lies beside it has the nearest.
void place_tables(const IntegerPlan& plan, IntegerTables& tables) {
  size_t table = 0;
  int k = 0;
  for (const IntegerPlan::Group& g : plan.groups) {
    const bool last = &g == &plan.groups.back();
    for (; k <= (last ? kIntegerClasses - 1 : g.last); ++k) {
      tables.of[0][static_cast<size_t>(k)] = static_cast<uint8_t>(table);
      tables.of[1][static_cast<size_t>(k)] = static_cast<uint8_t>(table + (g.split ? 1 : 0));
    }
    table += g.split ? 2 : 1;
  }
}

size_t table_count(const IntegerPlan& plan) {
  size_t n = 0;
  for (const IntegerPlan::Group& g : plan.groups) n += g.split ? 2 : 1;
  return n;
}

}  // namespace

IntegerPlan plan_tables(const IntegerHistogram& histogram) {
  std::vector<ClassRange> ranges;
  int first = 0;
  for (int k = 0; k < kIntegerClasses; ++k) {
    ClassRange r{k, histogram.counts[0][static_cast<size_t>(k)],
                 histogram.counts[1][static_cast<size_t>(k)], false, 0};
    r.choose();
    if (r.bits <= 1) continue;  // does not occur
    if (ranges.empty()) first = k;
    ranges.push_back(r);
  }
  if (ranges.empty()) return {0, {{0, false}}};
  for (;;) {
    size_t best = ranges.size();
    double most = 0;
    for (size_t i = 0; i + 1 < ranges.size(); ++i) {
      // Classes that differ in their low bits have nothing to share.
      if (low_bits_of(ranges[i].last) != low_bits_of(ranges[i + 1].last)) continue;
      const double gain =
          ranges[i].bits + ranges[i + 1].bits - joined(ranges[i], ranges[i + 1]).bits;
      if (gain <= most) continue;
      most = gain;
      best = i;
    }
    if (best == ranges.size()) break;
    ranges[best] = joined(ranges[best], ranges[best + 1]);
    ranges.erase(ranges.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  IntegerPlan plan{first, {}};
  for (const ClassRange& r : ranges) plan.groups.push_back({r.last, r.split});
  return plan;
}

void write_tables(const IntegerHistogram& histogram, const IntegerPlan& plan,
                  SideCoder<entropy::BinaryEncoder>& to, IntegerTables& tables) {
  IntegerPlan written = plan;
  code_plan(to, written);
  place_tables(plan, tables);
  std::vector<IntegerCounts> counts(table_count(plan));
  for (size_t odd = 0; odd < 2; ++odd) {
    for (size_t k = 0; k < kIntegerClasses; ++k)
      add(counts[tables.of[odd][k]], histogram.counts[odd][k]);
  }
  GradeModels models;
  for (const IntegerCounts& c : counts) {
    Grades g = best_grades(without_rare(c));
    code_grades(to, models, g);
    tables.tables.push_back(frequencies_of(g));
  }
}

IntegerTables read_tables(SideCoder<entropy::BinaryDecoder>& from) {
  IntegerPlan plan;
  code_plan(from, plan);
  IntegerTables tables;
  place_tables(plan, tables);
  GradeModels models;
  for (size_t i = 0; i < table_count(plan); ++i) {
    Grades g;
    code_grades(from, models, g);
    tables.tables.push_back(frequencies_of(g));
  }
  return tables;
}

}  // namespace pith::form
