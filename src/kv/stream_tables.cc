#include <algorithm>
#include <cmath>

#include "pith/entropy/scaled_rans.h"
#include "stream_block.h"

namespace pith::kv {
namespace {

using entropy::kEscape;
using entropy::kExponentialTables;
using entropy::kNoCost;
using entropy::kNormalTables;

// What the number behind an escape takes, about.
constexpr uint64_t kEscaped = 20 << 16;
constexpr int64_t kNear = 2;

// None where the table cannot have these symbols.
uint64_t cost_of(const SymbolCounts& counts, uint32_t most, uint32_t table) {
  const auto& costs = entropy::scaled_costs(table);
  const uint64_t escape = costs[kEscape] + kEscaped;
  if (table == 0) return most == 0 && counts[kEscape] == 0 ? 0 : ~uint64_t{0};
  uint64_t sum = counts[kEscape] * escape;
  for (uint32_t s = 0; s <= most; ++s) sum += counts[s] * (costs[s] == kNoCost ? escape : costs[s]);
  return sum;
}

// Where in a family of tables a scale lies whose smallest is `least`.
int64_t place(double scale, double least) { return std::llround(3 * std::log2(scale / least)); }

// What `near` tables of a family cost, around the one at `at`.
void try_family(const SymbolCounts& counts, uint32_t most, uint32_t first, uint32_t count,
                int64_t at, BestTable& best) {
  const auto last = static_cast<int64_t>(count) - 1;
  at = std::clamp<int64_t>(at, 0, last);
  for (int64_t i = std::max<int64_t>(0, at - kNear); i <= std::min(last, at + kNear); ++i) {
    const uint64_t cost = cost_of(counts, most, first + static_cast<uint32_t>(i));
    if (cost < best.cost) best = {static_cast<uint8_t>(first + static_cast<uint32_t>(i)), cost};
  }
}

PlaneTables repeated(uint64_t channels, const BestTable* of, const uint64_t* rows) {
  PlaneTables out;
  for (int part = 0; part < 2; ++part) {
    if (rows[part] == 0) continue;
    out.tables.insert(out.tables.end(), channels, of[part].table);
    out.cost += of[part].cost;
  }
  return out;
}

}  // namespace

void count_symbols(const int32_t* codes, uint64_t n, SymbolCounts& counts) {
  for (uint64_t i = 0; i < n; ++i) ++counts[std::min<uint32_t>(entropy::zigzag(codes[i]), kEscape)];
}

BestTable best_table(const SymbolCounts& counts) {
  uint32_t most = 0;
  double sum = 0, n = 0;
  for (uint32_t s = 0; s < kEscape; ++s) {
    if (counts[s] != 0) most = s;
    sum += static_cast<double>(counts[s]) * ((s + 1) / 2);
    n += static_cast<double>(counts[s]);
  }
  if (most == 0 && counts[kEscape] == 0) return {0, 0};
  sum += 128.0 * static_cast<double>(counts[kEscape]);
  const double mean = sum / (n + static_cast<double>(counts[kEscape]));
  // Of sampled densities: nearly all of a small mean comes from codes of 1.
  const double small = mean < 0.5 ? -1 / std::log(mean / 2) : 0;
  const double spread = mean < 0.5 ? std::sqrt(small / 2) : 1.25 * mean;
  BestTable best{0, ~uint64_t{0}};
  try_family(counts, most, 1, kNormalTables, place(spread, 0.25), best);
  try_family(counts, most, 1 + kNormalTables, kExponentialTables,
             place(mean < 0.5 ? small : mean, 0.125), best);
  return best;
}

PlaneTables channel_tables(const PlaneCodes& codes, const Scheme& scheme) {
  PlaneTables out;
  for (const auto* part : {&codes.anchors, &codes.others}) {
    const uint64_t rows = part == &codes.anchors ? scheme.anchors() : scheme.others();
    for (uint64_t c = 0; c < codes.steps.size() && rows > 0; ++c) {
      SymbolCounts counts{};
      count_symbols(part->data() + c * rows, rows, counts);
      const BestTable best = best_table(counts);
      out.tables.push_back(best.table);
      // What table a channel has takes about four bits.
      out.cost += best.cost + (uint64_t{4} << 16);
    }
  }
  return out;
}

void add_counts(const PlaneCodes& codes, std::array<SymbolCounts, 2>& counts) {
  count_symbols(codes.anchors.data(), codes.anchors.size(), counts[0]);
  count_symbols(codes.others.data(), codes.others.size(), counts[1]);
}

PlaneTables same_tables(const PlaneCodes& codes, const Scheme& scheme,
                        const std::array<SymbolCounts, 2>& counts) {
  const BestTable best[2] = {best_table(counts[0]), best_table(counts[1])};
  const uint64_t rows[2] = {scheme.anchors(), scheme.others()};
  return repeated(codes.steps.size(), best, rows);
}

}  // namespace pith::kv
