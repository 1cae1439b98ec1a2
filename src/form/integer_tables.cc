#include "integer_tables.h"

#include <bit>
#include <cmath>

namespace pith::form {
namespace {

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

// Quick and near: entropy, and a few bits for each symbol of a table.
double estimate(const IntegerCounts& counts) {
  uint64_t total = 0;
  for (const uint64_t c : counts) total += c;
  if (total == 0) return 0;
  double bits = 14;
  for (const uint64_t c : counts) {
    if (c == 0) continue;
    bits += static_cast<double>(c) * std::log2(static_cast<double>(total) / static_cast<double>(c));
    bits += std::min(8.0, 2.5 + 0.4 * std::bit_width(c));
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
  double bits = 14;

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

std::vector<IntegerTableSort> sorts_of(const IntegerPlan& plan) {
  std::vector<IntegerTableSort> out;
  int first = plan.first;
  for (const IntegerPlan::Group& g : plan.groups) {
    out.push_back({first, g.last, false});
    if (g.split) out.push_back({first, g.last, true});
    first = g.last + 1;
  }
  return out;
}

// What the table before, if possible of states of the same parity, says of the next one.
IntegerForecast forecast_next(const std::vector<IntegerTableSort>& sorts,
                              const IntegerTables& tables) {
  const size_t n = tables.tables.size();
  if (n == 0) return {};
  size_t before = n - 1;
  for (size_t i = n; i-- > 0 && i + 2 >= n;) {
    if (sorts[i].odd == sorts[n].odd) {
      before = i;
      break;
    }
  }
  return forecast_table(sorts[before], tables.tables[before], sorts[n]);
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
  const std::vector<IntegerTableSort> sorts = sorts_of(plan);
  std::vector<IntegerCounts> counts(sorts.size());
  for (size_t odd = 0; odd < 2; ++odd) {
    for (size_t k = 0; k < kIntegerClasses; ++k)
      add(counts[tables.of[odd][k]], histogram.counts[odd][k]);
  }
  IntegerGradeModels models;
  for (const IntegerCounts& c : counts) {
    const IntegerForecast forecast = forecast_next(sorts, tables);
    tables.tables.push_back(frequencies_of(write_grades(without_rare(c), forecast, models, to)));
  }
}

IntegerTables read_tables(SideCoder<entropy::BinaryDecoder>& from) {
  IntegerPlan plan;
  code_plan(from, plan);
  IntegerTables tables;
  place_tables(plan, tables);
  const std::vector<IntegerTableSort> sorts = sorts_of(plan);
  IntegerGradeModels models;
  for (size_t i = 0; i < sorts.size(); ++i) {
    const IntegerForecast forecast = forecast_next(sorts, tables);
    tables.tables.push_back(frequencies_of(read_grades(from, forecast, models)));
  }
  return tables;
}

}  // namespace pith::form
